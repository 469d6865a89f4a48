// What goes wrong on demand. A fault waits here until a request of its entity and face spends it.

import { malformed } from './refusal.mjs'

/**
 * throttle        answers 429 with Retry-After (HTTP) or rejects with com.microsoft:server-busy (AMQP)
 * error           answers `status` (HTTP) or rejects with `condition` (AMQP)
 * refuse_auth     answers 401, or refuses a token with 401
 * delay           looks at the request `milliseconds` later
 * delay_answer    stores at once and answers `milliseconds` later
 * lose_answers    stores the message, then cuts the connection instead of answering
 * cut             cuts the connection before storing anything
 * refuse_attach   detaches a link at its attach, with `condition`
 */
export const KINDS = ['throttle', 'error', 'refuse_auth', 'delay', 'delay_answer', 'lose_answers', 'cut', 'refuse_attach']

export class Faults {
  #waiting = []

  /** Adds `{ kind, count, entity, face, … }`; without `count` it stays until cleared. */
  add(fault) {
    if (!KINDS.includes(fault.kind)) throw malformed(`'${fault.kind}' is no fault that waits: ${KINDS.join(', ')}`)
    this.#waiting.push({ count: Infinity, ...fault, entity: fault.entity?.toLowerCase() })
  }

  /** The fault of this kind for the next request of the entity, once less to come; or undefined. */
  spend(kind, face, entity) {
    if (this.#waiting.length === 0) return undefined
    const lower = entity?.toLowerCase()
    const found = this.#waiting.find(
      (fault) => fault.kind === kind && (fault.face === undefined || fault.face === face) && (fault.entity === undefined || covers(fault.entity, lower)),
    )
    if (found !== undefined && --found.count <= 0) this.#waiting = this.#waiting.filter((fault) => fault !== found)
    return found
  }

  clear(entity) {
    this.#waiting = entity === undefined ? [] : this.#waiting.filter((fault) => fault.entity !== entity.toLowerCase())
  }

  list() {
    return this.#waiting.map((fault) => ({ ...fault, count: fault.count === Infinity ? null : fault.count }))
  }
}

/** A fault of an entity is also one of what lies below it: subscriptions, dead letters, `$management`. */
export const covers = (entity, path) => path !== undefined && (path === entity || path.startsWith(`${entity}/`))
