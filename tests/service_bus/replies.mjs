// `$cbs` and `ENTITY/$management`: requests come in on one link, answers go out on another.

import { decode, outcomes, types } from './amqp_library.mjs'
import { Refusal } from './refusal.mjs'

export const CBS = '$cbs'

/** One link of a request-response pair: requests come in on the one, answers go out on the other. */
export class Replies {
  constructor(face, link, address, handle) {
    Object.assign(this, { face, link, address, handle })
  }

  message({ message, delivery }) {
    delivery.update(true, outcomes.accepted().described())
    const request = decode(message)
    let answer
    try {
      answer = this.handle(request)
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error)
      answer = { status: error.status ?? 500, description: error.message, condition: error.condition ?? 'amqp:internal-error' }
    }
    const late = this.face.faults.spend('delay', 'amqp', this.address)
    if (late) setTimeout(() => this.#reply(request, answer), late.milliseconds)
    else this.#reply(request, answer)
  }

  #reply(request, { status, description, condition, body }) {
    const sender = this.#outlet(request.reply_to)
    if (sender === undefined) return
    const cbs = this.address === CBS
    const properties = { [cbs ? 'status-code' : 'statusCode']: types.wrap_int(status), [cbs ? 'status-description' : 'statusDescription']: description ?? '' }
    if (condition !== undefined && !cbs) properties.errorCondition = types.wrap_symbol(condition)
    const delivery = sender.send({ correlation_id: request.message_id, application_properties: properties, body: body ?? null })
    // Some clients never settle an answer. Left open, the first of them would hold up the session's list of deliveries for ever.
    setImmediate(() => Object.assign(delivery, { settled: true, remote_settled: true }))
  }

  // The link of the same pair on which answers go out.
  #outlet(replyTo) {
    const pair = (link) => link.stand_in instanceof Replies && link.stand_in.address === this.address && link.is_open()
    return (
      this.link.session.find_sender((link) => pair(link) && link.target?.address === replyTo) ??
      this.link.connection.find_sender((link) => pair(link) && link.target?.address === replyTo) ??
      this.link.session.find_sender(pair) ??
      this.link.connection.find_sender(pair)
    )
  }
}
