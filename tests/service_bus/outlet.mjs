// A link on which a client receives: messages as credit allows, locked or gone, and what becomes of each.

import { outcomes, types } from './amqp_library.mjs'
import { brokerSections, pairsOf } from './content.mjs'
import { Refusal, notAllowed } from './refusal.mjs'

const SESSION_FILTER = 'com.microsoft:session-filter'
const AT_ONCE = 100 // messages per turn, so that several consumers share what is there
const SESSION_WAIT_MS = 60_000
const TICKS_AT_EPOCH = 621_355_968_000_000_000n

/** A long or ulong that JavaScript's numbers cannot hold. */
const longBytes = (value) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}

/** .NET's ticks: 100 ns since the year 1. */
export const ticks = (milliseconds) => types.wrap_long(longBytes(TICKS_AT_EPOCH + BigInt(milliseconds) * 10_000n))

/** Service Bus puts a GUID's first three fields in little-endian order into delivery tags. */
export const guidOrder = (uuid) => {
  const bytes = Buffer.from(uuid)
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}

/** A message as a consumer gets it. */
export const encode = (message) => {
  const annotations = [
    ['x-opt-enqueued-time', types.wrap_timestamp(message.enqueuedAt)],
    ['x-opt-sequence-number', types.wrap_long(message.sequence)],
    ['x-opt-enqueue-sequence-number', types.wrap_long(message.sequence)],
  ]
  if (message.state === 'locked') annotations.push(['x-opt-locked-until', types.wrap_timestamp(message.lockedUntil)])
  if (message.state === 'scheduled') annotations.push(['x-opt-message-state', types.wrap_int(2)])
  if (message.state === 'deferred') annotations.push(['x-opt-message-state', types.wrap_int(1)])
  const added = [...message.added]
  if (message.deadLetter) {
    const { reason, description, source } = message.deadLetter
    annotations.push(['x-opt-deadletter-source', types.wrap_string(source)])
    if (reason !== undefined) added.push(['DeadLetterReason', types.wrap_string(reason)])
    if (description !== undefined) added.push(['DeadLetterErrorDescription', types.wrap_string(description)])
  }
  return Buffer.concat([...brokerSections(message.content, message.deliveries, annotations), ...message.content.bare(added)])
}

export class Outlet {
  constructor(face, link, queue) {
    Object.assign(this, { face, link, queue })
    this.deletes = link.remote.attach.snd_settle_mode === 1
    this.draining = false
    this.due = false
  }

  // ---- sessions ----

  /** False when the answer to the attach must wait for a session. */
  opened() {
    const filter = this.link.source?.filter
    const wanted = filter && SESSION_FILTER in filter
    if (!this.queue.settings.sessions) {
      if (wanted && plainFilter(filter) !== null) throw notAllowed(`The entity '${this.queue.name}' has no sessions.`)
      this.queue.watch(this)
      return true
    }
    if (!wanted) throw notAllowed(`It is not possible for an entity that requires sessions to create a non-sessionful message receiver: '${this.queue.name}'.`)
    return this.#openSession(plainFilter(filter))
  }

  #openSession(id) {
    const session = this.queue.lockSession(id, this)
    if (session) {
      this.#begin(session)
      return true
    }
    if (id !== null) {
      throw new Refusal(410, 'com.microsoft:session-cannot-be-locked', `The requested session '${id}' cannot be accepted. It may be locked by another receiver.`)
    }
    // The library would answer the attach now; the service answers when a session is there.
    this.link.state.local_open = false
    this.link.state.open_requests = 0
    const asked = this.link.remote.attach.properties?.['com.microsoft:timeout']
    this.queue.awaitSession(this, Number(asked ?? SESSION_WAIT_MS), (free) => this.#late(free))
    return false
  }

  #late(session) {
    if (this.link.stand_in !== this) return session && this.queue.freeSession(session)
    this.link.open()
    if (session === undefined) return this.face.refuse(this.link, new Refusal(504, 'com.microsoft:timeout', 'The operation did not complete within the allotted timeout.'))
    this.#begin(session)
    this.face.echo(this.link, this.source)
  }

  #begin(session) {
    this.session = session
    this.queue.watch(this)
    const source = this.link.remote.attach.source
    source.filter = { [SESSION_FILTER]: session.id }
    this.source = source
    this.link.local.attach.properties = { 'com.microsoft:locked-until-utc': ticks(session.lockedUntil) }
  }

  sessionLost(refusal) {
    this.session = undefined
    this.face.refuse(this.link, refusal)
  }

  closed() {
    this.queue.unwatch(this)
    if (this.session) this.queue.freeSession(this.session)
    this.session = undefined
  }

  // ---- out ----

  /** Sends what waits, soon: when the library has written all that is on its way, so that its credit is the truth. */
  wake() {
    if (this.due) return
    this.due = true
    setImmediate(() => this.#pump())
  }

  drain() {
    this.draining = true
    this.wake()
  }

  #pump() {
    this.due = false
    if (this.link.stand_in !== this || !this.link.is_open()) return
    const { outgoing } = this.link.session
    // The peer's session window is closed: what was handed over is not written yet.
    if (outgoing.next_pending_delivery < outgoing.next_delivery_id) return void setTimeout(() => this.wake(), 2)
    let room = Math.min(this.link.credit, outgoing.available() - 1, AT_ONCE)
    while (room > 0 && this.#sendOne()) room -= 1
    if (room === 0 && this.link.credit > 0) return void this.wake()
    if (this.draining) {
      this.draining = false
      this.link.set_drained(true)
      this.link.connection._register()
    }
  }

  #sendOne() {
    const session = this.session?.id
    const message = this.deletes ? this.queue.takeAndDelete(session) : this.queue.take(session)
    if (message === undefined) return false
    const tag = this.deletes ? Buffer.from(String(message.sequence)) : guidOrder(Buffer.from(message.lockToken, 'hex'))
    const delivery = this.link.send(encode(message), tag, 0)
    if (this.deletes) delivery.settled = true
    else delivery.lockToken = message.lockToken
    return true
  }

  // ---- back ----

  /** A client's disposition. The answer settles it and repeats the outcome, which clients of the second mode wait for. */
  settle(outcome, delivery) {
    const token = delivery.lockToken
    if (token === undefined) return
    delivery.lockToken = undefined
    const state = delivery.remote_state
    let answer
    let refused = false
    try {
      answer = this.#apply(outcome, token, state)
    } catch (error) {
      refused = true
      if (!(error instanceof Refusal)) console.error(error)
      answer = outcomes.rejected({ error: (error instanceof Refusal ? error : new Refusal(500, 'amqp:internal-error', error.message)).amqp })
    }
    const settle = () => delivery.update(true, answer.described())
    const late = this.face.faults.spend('delay_answer', 'amqp', this.queue.name)
    if (late) setTimeout(settle, late.milliseconds)
    else if (outcome === 'accepted' && !refused) settle()
    // rhea merges the dispositions of two neighbours of one tick, whatever their outcomes: all others have a tick of their own.
    else setImmediate(settle)
  }

  #apply(outcome, token, state) {
    if (outcome === 'accepted') {
      this.queue.complete(token)
      return outcomes.accepted()
    }
    if (outcome === 'released') {
      this.queue.release(token)
      return outcomes.released()
    }
    if (outcome === 'modified') {
      if (state.undeliverable_here) this.queue.defer(token)
      else this.queue.abandon(token, annotationPairs(state))
      return outcomes.modified({ delivery_failed: state.delivery_failed, undeliverable_here: state.undeliverable_here })
    }
    this.#deadLetter(token, state.error)
    // An error in the answer would say that the dead-lettering failed.
    return outcomes.rejected({})
  }

  #deadLetter(token, error) {
    const info = Object.entries(error?.info ?? {}).filter(([, value]) => value !== null && value !== undefined)
    const { DeadLetterReason: reason = error?.condition, DeadLetterErrorDescription: description = error?.description ?? undefined } = Object.fromEntries(info)
    const added = info.filter(([name]) => !name.startsWith('DeadLetter')).map(([name, value]) => [name, types.wrap(value)])
    this.queue.deadLetter(token, reason, description, added)
  }
}

// What an abandon changes are application properties, which it names in the outcome's annotations.
const annotationPairs = (state) => {
  const map = state.value?.[2]
  return map?.type ? pairsOf(map) : []
}

// The filter's value, which some clients describe with its name and others send bare.
const plainFilter = (filter) => {
  const value = filter[SESSION_FILTER]
  return value?.value !== undefined && typeof value === 'object' ? value.value : value ?? null
}
