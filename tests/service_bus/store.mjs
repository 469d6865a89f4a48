// The namespace: queues, topics and their subscriptions by name, and duplicate detection.

import { Queue } from './queue.mjs'
import { Refusal, malformed, tooLarge, unknownEntity } from './refusal.mjs'
import { DEFAULTS } from './settings.mjs'

export const DEAD_LETTERS = '$DeadLetterQueue'

/** Remembers message ids for a while. */
class Window {
  #seen = new Map()

  constructor(milliseconds, clock) {
    this.milliseconds = milliseconds
    this.clock = clock
  }

  /** Whether the id was seen within the window; it is remembered either way, from its first time on. */
  repeats(id) {
    if (this.milliseconds === 0 || id === undefined) return false
    const now = this.clock()
    for (const [old, at] of this.#seen) {
      if (now - at <= this.milliseconds) break
      this.#seen.delete(old)
    }
    if (this.#seen.has(id)) return true
    this.#seen.set(id, now)
    return false
  }
}

/** What senders address: a queue, or a topic that copies to its subscriptions. */
class Entity {
  constructor(name, settings, clock) {
    this.name = name
    this.settings = { ...DEFAULTS, ...settings }
    this.window = new Window(this.settings.dedup_seconds * 1000, clock)
    this.sent = { accepted: 0, duplicates: 0, refused: 0 }
  }

  /** Refuses messages that must not come in, all of them when one must not. */
  check(contents) {
    const { max_message_bytes: limit, max_messages: most, too_large_status: status } = this.settings
    try {
      let bytes = 0
      for (const content of contents) {
        bytes += content.size
        for (const queue of this.outlets()) queue.check(content)
      }
      if (bytes > limit) throw tooLarge(bytes, limit, status)
      if (most > 0 && Math.max(0, ...this.outlets().map((queue) => queue.length)) + contents.length > most) {
        throw new Refusal(403, 'amqp:resource-limit-exceeded', `The maximum entity size has been reached or exceeded for '${this.name}'.`)
      }
    } catch (refusal) {
      this.sent.refused += contents.length
      throw refusal
    }
  }

  /** Stores a message that was checked; answers its sequence number, or undefined for a duplicate. */
  put(content) {
    if (this.window.repeats(content.id)) {
      this.sent.duplicates += 1
      return undefined
    }
    this.sent.accepted += 1
    let sequence
    for (const queue of this.outlets()) sequence = queue.put(content)
    return sequence ?? 0
  }
}

class QueueEntity extends Entity {
  constructor(name, settings, clock, make) {
    super(name, settings, clock)
    this.queue = make(name, settings)
  }

  outlets() {
    return [this.queue]
  }
}

class Topic extends Entity {
  constructor(name, settings, clock, make) {
    super(name, settings, clock)
    this.subscriptions = new Map()
    for (const [one, own] of Object.entries(settings.subscriptions ?? {})) {
      const { subscriptions, ...inherited } = settings
      this.subscriptions.set(one.toLowerCase(), make(`${name}/Subscriptions/${one}`, { ...inherited, ...own }))
    }
  }

  outlets() {
    return [...this.subscriptions.values()]
  }
}

export class Store {
  #entities = new Map()
  #clock

  constructor(clock = Date.now) {
    this.#clock = clock
  }

  /** Creates a queue, or a topic where the settings name subscriptions; what had the name is gone. */
  create(name, settings = {}) {
    for (const key of Object.keys(settings)) {
      if (!(key in DEFAULTS) && key !== 'subscriptions') throw malformed(`'${key}' is no setting of an entity`)
    }
    const make = (path, own) => {
      const dead = new Queue(`${path}/${DEAD_LETTERS}`, { lock_seconds: own.lock_seconds ?? DEFAULTS.lock_seconds }, this.#clock)
      return new Queue(path, own, this.#clock, dead)
    }
    const Kind = settings.subscriptions ? Topic : QueueEntity
    const entity = new Kind(name, settings, this.#clock, make)
    this.#entities.set(name.toLowerCase(), entity)
    return entity
  }

  delete(name) {
    return this.#entities.delete(name.toLowerCase())
  }

  entities() {
    return [...this.#entities.values()]
  }

  *queues() {
    for (const entity of this.#entities.values()) {
      for (const queue of entity.outlets()) {
        yield queue
        yield queue.dead
      }
    }
  }

  /** What senders may send to. */
  entity(path) {
    const entity = this.#entities.get(path.toLowerCase())
    if (entity === undefined) throw unknownEntity(path)
    return entity
  }

  /** What receivers may read: a queue, a subscription, or the dead letters of either. */
  queue(path) {
    const lower = path.toLowerCase()
    const suffix = `/${DEAD_LETTERS}`.toLowerCase()
    if (lower.endsWith(suffix)) return this.queue(path.slice(0, -suffix.length)).dead ?? fail(path)
    const [topic, name, ...rest] = lower.split('/subscriptions/')
    const entity = this.#entities.get(topic)
    if (entity instanceof QueueEntity && name === undefined) return entity.queue
    if (entity instanceof Topic && name !== undefined && rest.length === 0) return entity.subscriptions.get(name) ?? fail(path)
    return fail(path)
  }

  sweep() {
    for (const queue of this.queues()) queue.sweep()
  }
}

const fail = (path) => {
  throw unknownEntity(path)
}
