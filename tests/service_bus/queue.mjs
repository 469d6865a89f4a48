// One queue, subscription or dead-letter queue: what waits, what is locked and by whom, and what became of the rest.

import { randomBytes } from 'node:crypto'
import { Line } from './line.mjs'
import { lockLost, malformed, notAllowed, sessionLockLost } from './refusal.mjs'
import { DEFAULTS } from './settings.mjs'

class Session {
  constructor(id) {
    this.id = id
    this.line = new Line()
    this.locked = new Set()
    this.holder = undefined
    this.lockedUntil = 0
    this.state = null
  }
}

export class Queue {
  #line = new Line()
  #sessions = new Map()
  #locked = new Map()
  #scheduled = new Map()
  #deferred = new Map()
  #all = new Map()
  #consumers = new Set()
  #mortal = 0
  #sessionWaiters = []

  /** `clock` answers milliseconds; `dead` is where what nobody can process goes. */
  constructor(name, settings, clock, dead) {
    this.name = name
    this.settings = { ...DEFAULTS, ...settings }
    this.clock = clock
    this.dead = dead
    this.sequence = 0
    this.count = { accepted: 0, delivered: 0, completed: 0, abandoned: 0, released: 0, lock_expired: 0, dead_lettered: 0, expired: 0, deferred: 0 }
  }

  // ---- in ----

  /** Takes a message over; `extra` is what a dead letter brings along. */
  put(content, extra = {}) {
    this.count.accepted += 1
    if (this.settings.discard) return ++this.sequence
    const now = this.clock()
    const ttl = this.dead ? content.ttl ?? (this.settings.ttl_seconds * 1000 || undefined) : undefined
    const message = {
      sequence: ++this.sequence, content, enqueuedAt: now, deliveries: 0, state: 'active', expiresAt: ttl === undefined ? Infinity : now + ttl, added: [], ...extra,
    }
    if (ttl !== undefined) this.#mortal += 1
    this.#all.set(message.sequence, message)
    if (content.scheduledAt > now && this.dead) {
      message.state = 'scheduled'
      this.#scheduled.set(message.sequence, message)
    } else this.#offer(message, true)
    return message.sequence
  }

  #offer(message, fresh) {
    message.state = 'active'
    message.lockToken = undefined
    const session = this.#sessionOf(message)
    const line = session ? session.line : this.#line
    if (fresh) line.push(message)
    else line.putBack(message)
    if (session && session.holder === undefined) this.#giveSession()
    this.wake()
  }

  #sessionOf(message) {
    if (!this.settings.sessions) return undefined
    const id = message.content.session
    if (!this.#sessions.has(id)) this.#sessions.set(id, new Session(id))
    return this.#sessions.get(id)
  }

  /** Refuses what a sender must not send here. */
  check(content) {
    if (this.settings.sessions && content.session === undefined) throw notAllowed(`A message sent to the entity '${this.name}', which requires sessions, has no session id.`)
  }

  // ---- out ----

  watch(consumer) {
    this.#consumers.add(consumer)
  }

  unwatch(consumer) {
    this.#consumers.delete(consumer)
  }

  wake() {
    for (const consumer of this.#consumers) consumer.wake()
  }

  #next(sessionId) {
    const line = this.settings.sessions ? this.#sessions.get(sessionId)?.line : this.#line
    for (;;) {
      const message = line?.shift()
      if (message === undefined) return undefined
      if (message.expiresAt <= this.clock()) this.#expire(message)
      else return message
    }
  }

  /** The next message, locked; or undefined. */
  take(sessionId) {
    const message = this.#next(sessionId)
    if (message === undefined) return undefined
    this.#lock(message)
    return message
  }

  #lock(message) {
    this.count.delivered += 1
    message.state = 'locked'
    message.lockToken = randomBytes(16).toString('hex')
    const session = this.#sessionOf(message)
    session?.locked.add(message)
    message.lockedUntil = session ? session.lockedUntil : this.clock() + this.settings.lock_seconds * 1000
    this.#locked.set(message.lockToken, message)
  }

  /** The next message, gone from here; or undefined. */
  takeAndDelete(sessionId) {
    const message = this.#next(sessionId)
    if (message === undefined) return undefined
    this.count.delivered += 1
    this.count.completed += 1
    this.#forget(message)
    return message
  }

  /** Deferred messages by sequence number, locked again. */
  takeDeferred(sequences, settled) {
    const found = sequences.map((sequence) => this.#deferred.get(sequence))
    if (found.includes(undefined)) throw malformed('no deferred message has that sequence number')
    for (const message of found) {
      this.#deferred.delete(message.sequence)
      if (settled) this.#forget(message)
      else this.#lock(message)
    }
    return found
  }

  // ---- settlement ----

  #unlock(token) {
    const message = this.#locked.get(token)
    if (message === undefined) throw lockLost()
    this.#locked.delete(token)
    this.#sessionOf(message)?.locked.delete(message)
    return message
  }

  holds(token) {
    return this.#locked.has(token)
  }

  complete(token) {
    this.#forget(this.#unlock(token))
    this.count.completed += 1
  }

  /** Back in line, one failed delivery more; the dead letters get it when that was the last. */
  abandon(token, annotations = []) {
    const message = this.#unlock(token)
    this.count.abandoned += 1
    message.added = [...message.added, ...annotations]
    this.#failed(message)
  }

  /** Back in line as if it had never been delivered. */
  release(token) {
    this.count.released += 1
    this.#offer(this.#unlock(token), false)
  }

  defer(token) {
    const message = this.#unlock(token)
    this.count.deferred += 1
    message.state = 'deferred'
    message.deliveries += 1
    this.#deferred.set(message.sequence, message)
  }

  deadLetter(token, reason, description, added = []) {
    const message = this.#unlock(token)
    if (!this.dead) this.#forget(message)
    else this.#bury(message, reason, description, added)
  }

  renew(token) {
    const message = this.#locked.get(token)
    if (message === undefined) throw lockLost()
    message.lockedUntil = this.clock() + this.settings.lock_seconds * 1000
    return message.lockedUntil
  }

  #failed(message) {
    message.deliveries += 1
    if (this.dead && message.deliveries >= this.settings.max_delivery_count) {
      this.#bury(message, 'MaxDeliveryCountExceeded', `Message could not be consumed after ${message.deliveries} delivery attempts.`)
    } else this.#offer(message, false)
  }

  #bury(message, reason, description, added = []) {
    this.#forget(message)
    this.count.dead_lettered += 1
    const why = { reason, description, source: this.name }
    this.dead.put(message.content, { added: [...message.added, ...added], deadLetter: why, deliveries: message.deliveries })
  }

  #expire(message) {
    this.count.expired += 1
    if (this.settings.dead_letter_expired) this.#bury(message, 'TTLExpiredException', 'The message expired and was dead lettered.')
    else this.#forget(message)
  }

  #forget(message) {
    if (message.expiresAt !== Infinity) this.#mortal -= 1
    message.state = 'gone'
    this.#all.delete(message.sequence)
  }

  // ---- sessions ----

  /** Locks a session for `holder`: the named one, or with null any that has messages and no holder. */
  lockSession(id, holder) {
    let session = id === null ? this.#freeSession() : this.#sessions.get(id)
    if (id !== null && session === undefined) this.#sessions.set(id, (session = new Session(id)))
    if (session === undefined || session.holder !== undefined) return undefined
    session.holder = holder
    session.lockedUntil = this.clock() + this.settings.lock_seconds * 1000
    return session
  }

  /** The same, but waits for a session to become free: `give(session)` or, after `milliseconds`, `give(undefined)`. */
  awaitSession(holder, milliseconds, give) {
    const waiter = { holder, give }
    waiter.timer = setTimeout(() => {
      this.#sessionWaiters = this.#sessionWaiters.filter((one) => one !== waiter)
      give(undefined)
    }, milliseconds)
    this.#sessionWaiters.push(waiter)
  }

  #freeSession() {
    for (const session of this.#sessions.values()) if (session.holder === undefined && session.line.length > 0) return session
    return undefined
  }

  #giveSession() {
    while (this.#sessionWaiters.length > 0) {
      const { holder, give, timer } = this.#sessionWaiters[0]
      const session = this.lockSession(null, holder)
      if (session === undefined) return
      this.#sessionWaiters.shift()
      clearTimeout(timer)
      give(session)
    }
  }

  renewSession(id) {
    const session = this.#heldSession(id)
    session.lockedUntil = this.clock() + this.settings.lock_seconds * 1000
    for (const message of session.locked) message.lockedUntil = session.lockedUntil
    return session.lockedUntil
  }

  #heldSession(id) {
    const session = this.#sessions.get(id)
    if (session?.holder === undefined) throw sessionLockLost()
    return session
  }

  sessionState(id) {
    return this.#heldSession(id).state
  }

  setSessionState(id, state) {
    this.#heldSession(id).state = state
  }

  /** What the holder did not settle goes back in line; when the lock `expired`, that was a failed delivery. */
  freeSession(session, expired = false) {
    session.holder = undefined
    for (const message of [...session.locked]) {
      this.#unlock(message.lockToken)
      if (expired) this.#failed(message)
      else this.#offer(message, false)
    }
    this.#giveSession()
  }

  // ---- time ----

  /** Does what time alone brings about; `force` takes every lock away now. */
  sweep(force = false) {
    const now = this.clock()
    for (const message of [...this.#scheduled.values()]) {
      if (message.content.scheduledAt > now) continue
      this.#scheduled.delete(message.sequence)
      message.enqueuedAt = now
      this.#offer(message, false)
    }
    if (this.settings.sessions) this.#sweepSessions(now, force)
    else this.#sweepLocks(now, force)
    if (this.#mortal > 0) this.#sweepMortals(now)
  }

  #sweepLocks(now, force) {
    for (const message of [...this.#locked.values()]) {
      if (message.lockedUntil > now && !force) continue
      this.#unlock(message.lockToken)
      this.count.lock_expired += 1
      this.#failed(message)
    }
  }

  #sweepSessions(now, force) {
    for (const session of this.#sessions.values()) {
      if (session.holder === undefined || (session.lockedUntil > now && !force)) continue
      const holder = session.holder
      this.count.lock_expired += session.locked.size
      this.freeSession(session, true)
      holder.sessionLost?.(sessionLockLost())
    }
  }

  #sweepMortals(now) {
    const dying = [...this.#all.values()].filter((message) => message.state === 'active' && message.expiresAt <= now)
    if (dying.length === 0) return
    const lines = this.settings.sessions ? [...this.#sessions.values()].map(({ line }) => line) : [this.#line]
    for (const line of lines) line.remove((message) => message.expiresAt <= now)
    for (const message of dying) this.#expire(message)
  }

  // ---- looking ----

  cancelScheduled(sequences) {
    if (sequences.some((sequence) => !this.#scheduled.has(sequence))) throw malformed('no scheduled message has that sequence number')
    for (const sequence of sequences) {
      this.#forget(this.#scheduled.get(sequence))
      this.#scheduled.delete(sequence)
    }
  }

  /** Messages from a sequence number on, whatever their state. */
  *from(sequence, sessionId) {
    for (const message of this.#all.values()) {
      if (message.sequence >= sequence && (sessionId === undefined || sessionId === null || message.content.session === sessionId)) yield message
    }
  }

  /** The locked message of a sequence number or a message id. */
  lockedAs(token, name) {
    const message = this.#locked.get(token)
    if (message === undefined || (String(message.sequence) !== name && message.content.id !== name)) throw lockLost()
    return message
  }

  get waiting() {
    let waiting = this.#line.length
    for (const session of this.#sessions.values()) waiting += session.line.length
    return waiting
  }

  get length() {
    return this.#all.size
  }

  counts() {
    return {
      active: this.waiting, locked: this.#locked.size, scheduled: this.#scheduled.size, deferred: this.#deferred.size,
      dead_letter: this.dead ? this.dead.length : 0, consumers: this.#consumers.size, ...this.count,
    }
  }

  clear() {
    this.#line = new Line()
    for (const session of this.#sessions.values()) [session.line, session.locked] = [new Line(), new Set()]
    for (const map of [this.#locked, this.#scheduled, this.#deferred, this.#all]) map.clear()
    this.#mortal = 0
    this.dead?.clear()
  }
}
