// A link on which a client sends: single messages, and batches in Service Bus' own message format.

import { outcomes } from './amqp_library.mjs'
import { AmqpContent } from './content.mjs'
import { Refusal, malformed, tooLarge } from './refusal.mjs'

const BATCH_FORMAT = 0x80013700

export class Inlet {
  constructor(face, link, entity) {
    Object.assign(this, { face, link, entity })
    link.local.attach.max_message_size = entity.settings.max_message_bytes
  }

  message({ message, delivery, format }) {
    const { faults } = this.face
    this.face.count.transfers += 1
    const late = faults.spend('delay', 'amqp', this.entity.name)
    if (late) setTimeout(() => this.#take(message, delivery, format), late.milliseconds)
    else this.#take(message, delivery, format)
  }

  #take(bytes, delivery, format) {
    const { faults } = this.face
    const name = this.entity.name
    if (faults.spend('cut', 'amqp', name)) return void this.link.connection.socket.destroy()
    try {
      this.#fail(name)
      const limit = this.entity.settings.max_message_bytes
      if (bytes.length > limit) throw tooLarge(bytes.length, limit, this.entity.settings.too_large_status)
      const contents = this.#contents(bytes, format)
      this.entity.check(contents)
      for (const content of contents) this.entity.put(content)
    } catch (error) {
      return void this.#reject(delivery, error)
    }
    if (faults.spend('lose_answers', 'amqp', name)) return void this.link.connection.socket.destroy()
    const slow = faults.spend('delay_answer', 'amqp', name)
    const accept = () => delivery.update(true, outcomes.accepted().described())
    if (slow) setTimeout(accept, slow.milliseconds)
    else accept()
  }

  #fail(name) {
    const { faults } = this.face
    if (faults.spend('throttle', 'amqp', name)) {
      throw new Refusal(503, 'com.microsoft:server-busy', 'The request was terminated because the entity is being throttled. Please wait 2 seconds and try again.')
    }
    const failed = faults.spend('error', 'amqp', name)
    if (failed) throw new Refusal(500, failed.condition ?? 'amqp:internal-error', failed.description ?? 'The service was unable to process the request.')
  }

  #contents(bytes, format) {
    if (format === undefined || format === 0) return [new AmqpContent(bytes)]
    if (format !== BATCH_FORMAT) throw malformed(`the message format ${format}`)
    const envelope = new AmqpContent(bytes)
    if (envelope.body.some(({ kind }) => kind !== 'data')) throw malformed('a batch holds its messages as data sections')
    return envelope.body.map(({ part }) => new AmqpContent(part.value))
  }

  // A message over the limit may end the link, as the AMQP specification has it (2.7.3); all else is an outcome.
  #reject(delivery, error) {
    if (!(error instanceof Refusal)) console.error(error)
    const refusal = error instanceof Refusal ? error : malformed(error.message)
    // rhea merges the dispositions of two neighbours of one tick, whatever their outcomes: a refusal has a tick of its own.
    setImmediate(() => {
      delivery.update(true, outcomes.rejected({ error: refusal.amqp }).described())
      if (refusal.condition === 'amqp:link:message-size-exceeded' && this.entity.settings.too_large_detaches) this.face.refuse(this.link, refusal)
    })
  }
}
