// The control face, for tests only: plain HTTP and JSON, without any authorisation.
//
//   GET    /                                addresses, keys, counters
//   GET    /entities                        every entity's counts
//   PUT    /entities/NAME                   creates it (again): { lock_seconds, max_delivery_count, dedup_seconds, sessions, … },
//                                           a topic with { subscriptions: { NAME: {} } }
//   DELETE /entities/NAME
//   GET    /entities/NAME                   counts; NAME may be TOPIC/Subscriptions/SUB or QUEUE/$DeadLetterQueue
//   POST   /entities/NAME/clear             takes all its messages away
//   POST   /entities/NAME/expire            takes all its locks away, as if their time were over
//   GET    /entities/NAME/messages          what is in it, taking nothing; ?from=SEQUENCE&limit=N
//   POST   /entities/NAME/take              takes up to ?limit=N messages out and answers them
//   POST   /entities/NAME/messages          puts messages: [{ Body | body_base64, BrokerProperties, UserProperties }]
//   GET    /links                           what is attached by AMQP
//   POST   /faults                          { kind, count, entity, face, … } as faults.mjs says
//   GET    /faults · DELETE /faults?entity=
//   POST   /detach                          { entity, role: sender | receiver, condition, description }
//   POST   /close                           { entity, condition, description }: an AMQP close with that error
//   POST   /drop                            { entity } cuts AMQP connections; { face: "http" } cuts HTTP's
//   POST   /expire_tokens                   { entity }: every token put by $cbs so far is over
//   POST   /tokens                          { token, rights, entity, expires_in } · DELETE /tokens { token }
//   POST   /issuers                         { key, audience, rights }: whose JWTs (ES256) are good, by a public key in PEM
//   POST   /policies                        { name, key, rights, entity }: a new policy, or a new key for one
//   POST   /tls                            { cert, key, client_ca }: PEM texts; opens an encrypted door of each face: { amqps, https }
//   POST   /refuse                          { milliseconds }: no connection gets through for so long, and all that are there are cut
//
// NAME is percent-encoded. An answer is JSON; an error is { "error": … } with a status of 400 or more.

import { createServer } from 'node:http'
import { HttpContent } from './http_content.mjs'
import { Refusal, malformed } from './refusal.mjs'

const body = async (request) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  return text === '' ? {} : JSON.parse(text)
}

const viewOf = (message) => ({
  sequence_number: message.sequence,
  state: message.state,
  delivery_count: message.deliveries,
  enqueued_at: message.enqueuedAt,
  scheduled_at: message.content.scheduledAt,
  ...message.content.view(),
  dead_letter: message.deadLetter,
})

export class Control {
  constructor({ store, access, faults, amqp, http, describe, refuse, secure }) {
    Object.assign(this, { store, access, faults, amqp, http, describe, refuse, secure })
  }

  listen(options) {
    const server = createServer((request, response) => void this.#serve(request, response))
    server.keepAliveTimeout = 120_000
    return new Promise((resolve) => server.listen(options, () => resolve(server.address().port)))
  }

  async #serve(request, response) {
    let [status, answer] = [200, undefined]
    try {
      const url = new URL(request.url, 'http://control')
      const [first = '', name, verb] = url.pathname.slice(1).split('/').map(decodeURIComponent)
      answer = await this.#route(`${request.method} ${first}`, name, verb, url.searchParams, await body(request))
    } catch (error) {
      status = error instanceof Refusal ? error.status : 400
      answer = { error: error.message }
    }
    const text = JSON.stringify(answer ?? null)
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }).end(text)
  }

  #route(what, name, verb, query, given) {
    switch (what) {
      case 'GET ':
        return this.describe()
      case 'GET links':
        return this.amqp.view()
      case 'GET faults':
        return this.faults.list()
      case 'POST faults':
        return this.faults.add(given)
      case 'DELETE faults':
        return this.faults.clear(query.get('entity') ?? undefined)
      case 'POST detach':
        return { detached: this.amqp.detach(given) }
      case 'POST close':
        return { closed: this.amqp.close(given) }
      case 'POST drop':
        return given.face === 'http' ? this.http.drop() : { dropped: this.amqp.drop(given.entity) }
      case 'POST expire_tokens':
        return this.amqp.expireTokens(given.entity)
      case 'POST tokens':
        return this.access.accept(given)
      case 'POST issuers':
        return this.access.trust(given)
      case 'DELETE tokens':
        return { revoked: this.access.revoke(given.token) }
      case 'POST policies':
        return this.access.setPolicy(given)
      case 'POST tls':
        return this.secure(given)
      case 'POST refuse':
        return this.refuse(given.milliseconds)
      default:
        return this.#entity(what, name, verb, query, given)
    }
  }

  #entity(what, name, verb, query, given) {
    if (what === 'GET entities' && name === undefined) return this.store.entities().map((entity) => this.#counts(entity))
    if (name === undefined) throw new Refusal(404, 'amqp:not-found', `nothing is at '${what}'`)
    if (what === 'PUT entities') {
      this.amqp.detach({ entity: name })
      return this.#counts(this.store.create(name, given))
    }
    if (what === 'DELETE entities') {
      this.amqp.detach({ entity: name, condition: 'amqp:not-found', description: `The messaging entity '${name}' was deleted.` })
      return { deleted: this.store.delete(name) }
    }
    if (what === 'GET entities' && verb === undefined) return this.#found(name)
    return this.#messages(`${what.split(' ')[0]} ${verb}`, name, query, given)
  }

  #messages(what, name, query, given) {
    const limit = Number(query.get('limit') ?? Infinity)
    if (what === 'POST messages') return this.#put(name, given)
    const queue = this.store.queue(name)
    if (what === 'POST clear') return queue.clear()
    if (what === 'POST expire') return queue.sweep(true)
    const found = []
    if (what === 'GET messages') {
      for (const message of queue.from(Number(query.get('from') ?? 0))) {
        if (found.length >= limit) break
        found.push(viewOf(message))
      }
      return found
    }
    if (what !== 'POST take') throw new Refusal(404, 'amqp:not-found', `'${what}' of an entity`)
    for (let message; found.length < limit && (message = queue.takeAndDelete()) !== undefined; ) found.push(viewOf(message))
    return found
  }

  #put(name, given) {
    if (!Array.isArray(given)) throw malformed('the messages to put are an array')
    const entity = this.store.entity(name)
    const contents = given.map((one) => {
      const bytes = one.body_base64 === undefined ? Buffer.from(one.Body, 'utf8') : Buffer.from(one.body_base64, 'base64')
      return new HttpContent(bytes, one.BrokerProperties ?? {}, one.UserProperties ?? {}, bytes.length)
    })
    return { sequence_numbers: contents.map((content) => entity.put(content) ?? null) }
  }

  // A topic's own counts are what came in; a queue's say what it holds.
  #found(name) {
    try {
      return { name, ...this.store.queue(name).counts(), ...this.store.entity(name).sent }
    } catch {
      try {
        return { name, ...this.store.queue(name).counts() }
      } catch {
        return this.#counts(this.store.entity(name))
      }
    }
  }

  #counts(entity) {
    const outlets = entity.outlets()
    const subscriptions = entity.subscriptions
    if (subscriptions === undefined) return { name: entity.name, kind: 'queue', ...outlets[0].counts(), ...entity.sent }
    const each = outlets.map((queue) => [queue.name.split('/').at(-1), queue.counts()])
    return { name: entity.name, kind: 'topic', ...entity.sent, subscriptions: Object.fromEntries(each) }
  }
}
