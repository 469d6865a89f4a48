// Why a request was refused, in the words of both faces: an HTTP status and an AMQP error condition.

export class Refusal extends Error {
  constructor(status, condition, message, extra = {}) {
    super(message)
    this.status = status
    this.condition = condition
    Object.assign(this, extra)
  }

  /** The fields of an AMQP error, all of them: Microsoft's Python client cannot read an error of two. */
  get amqp() {
    return { condition: this.condition, description: this.message, info: {} }
  }
}

export const unknownEntity = (name) => new Refusal(404, 'amqp:not-found', `The messaging entity '${name}' could not be found.`)
export const malformed = (message) => new Refusal(400, 'com.microsoft:argument-error', message)
export const notAllowed = (message) => new Refusal(400, 'amqp:not-allowed', message)
export const unauthorized = (message, condition = 'amqp:unauthorized-access') => new Refusal(401, condition, message)
export const lockLost = () =>
  new Refusal(410, 'com.microsoft:message-lock-lost', 'The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.')
export const sessionLockLost = () =>
  new Refusal(410, 'com.microsoft:session-lock-lost', 'The session lock has expired on the MessageSession. Accept a new MessageSession.')
export const tooLarge = (size, limit, status) =>
  new Refusal(status, 'amqp:link:message-size-exceeded', `The received message (size:${size} bytes) exceeds the limit (${limit} bytes) currently allowed on the link.`)
