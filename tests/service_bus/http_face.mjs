// The REST face: https://learn.microsoft.com/rest/api/servicebus, the runtime part. Sends one message or a JSON batch; receives by
// peek-lock or destructively.

import { createServer as createPlain } from 'node:http'
import { createServer as createSecure } from 'node:https'
import { missingClaim } from './access.mjs'
import { plain } from './content.mjs'
import { HttpContent } from './http_content.mjs'
import { Refusal, malformed, unauthorized } from './refusal.mjs'

const BATCH = 'application/vnd.microsoft.servicebus.json'
const REQUEST_BYTES_MAX = 4 * 1024 * 1024
const NOT_PROPERTIES = new Set([
  'accept', 'accept-encoding', 'accept-language', 'authorization', 'brokerproperties', 'connection', 'content-length', 'content-type', 'date',
  'expect', 'host', 'transfer-encoding', 'user-agent', 'traceparent', 'tracestate', 'x-ms-client-request-id',
])

const readAll = (request) =>
  new Promise((resolve, reject) => {
    const chunks = []
    let size = 0
    request.on('data', (chunk) => {
      size += chunk.length
      if (size <= REQUEST_BYTES_MAX) chunks.push(chunk)
    })
    request.on('end', () => {
      if (size > REQUEST_BYTES_MAX) reject(new Refusal(413, 'amqp:link:message-size-exceeded', `a request of ${size} bytes`))
      else resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
    })
    request.on('error', reject)
    request.on('aborted', () => reject(new Refusal(400, 'amqp:connection:forced', 'the client went away')))
  })

const json = (text, what) => {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw malformed(`${what} is no JSON: ${error.message}`)
  }
}

// A header's value is a JSON literal where it parses as one, else text.
const literal = (value) => {
  try {
    const parsed = JSON.parse(value)
    return typeof parsed === 'object' && parsed !== null ? value : parsed
  } catch {
    return value
  }
}

/** The contents that a send request carries. */
const contentsOf = (request, body) => {
  const contentType = request.headers['content-type']
  if (contentType?.split(';')[0].trim().toLowerCase() === BATCH) {
    const list = json(body.toString('utf8'), 'the batch')
    if (!Array.isArray(list) || list.length === 0) throw malformed('a batch is an array of messages')
    // The limit is about the whole request, so that one message accounts for all of it.
    return list.map((one, index) => {
      if (typeof one?.Body !== 'string') throw malformed(`message ${index} of the batch has no Body`)
      return new HttpContent(one.Body, one.BrokerProperties ?? {}, one.UserProperties ?? {}, index === 0 ? body.length : 0)
    })
  }
  const broker = json(request.headers.brokerproperties ?? '{}', 'BrokerProperties')
  const user = {}
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]
    if (!NOT_PROPERTIES.has(name.toLowerCase())) user[name] = literal(request.rawHeaders[i + 1])
  }
  return [new HttpContent(body, contentType === undefined ? broker : { ...broker, ContentType: contentType }, user, body.length)]
}

// JSON in ASCII, which is all that a header may hold.
const ascii = (value) => JSON.stringify(value).replace(/[\u007f-\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)

const escapeXml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

export class HttpFace {
  constructor({ store, access, faults, count }) {
    Object.assign(this, { store, access, faults, count })
    this.sockets = new Set()
    this.servers = []
  }

  listen(options, tls) {
    const handle = (request, response) => void this.#serve(request, response)
    const server = tls ? createSecure(tls, handle) : createPlain(handle)
    server.keepAliveTimeout = 120_000
    server.requestTimeout = 0
    server.maxRequestsPerSocket = 0
    server.on('connection', (socket) => socket.setNoDelay(true))
    server.on(tls ? 'secureConnection' : 'connection', (socket) => {
      this.count.connections += 1
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
    })
    this.servers.push(server)
    return new Promise((resolve, reject) => {
      server.on('error', reject)
      server.listen(options, () => resolve(server.address().port))
    })
  }

  drop() {
    for (const socket of this.sockets) socket.destroy()
  }

  async #serve(request, response) {
    this.count.requests += 1
    try {
      const url = request.url.split('?')
      const [, path, rest] = /^\/+(.+?)\/messages(?:\/(.*?))?\/?$/i.exec(decodeURIComponent(url[0])) ?? []
      if (path === undefined) throw new Refusal(404, 'amqp:not-found', `nothing is at '${url[0]}'`)
      const body = await readAll(request)
      await this.#linger('delay', path)
      if (this.faults.spend('cut', 'http', path)) return void request.socket.destroy()
      this.#authorise(request, path, rest === undefined ? 'Send' : 'Listen')
      this.#fail(path)
      if (request.method === 'POST' && rest === undefined) await this.#send(request, response, path, body)
      else await this.#receive(request, response, path, rest ?? '', new URLSearchParams(url[1]))
    } catch (error) {
      this.#refuse(response, error)
    }
  }

  #authorise(request, path, right) {
    if (this.faults.spend('refuse_auth', 'http', path)) throw unauthorized('MalformedToken: refused on demand.')
    const given = request.headers.authorization
    if (given === undefined) throw unauthorized('MissingToken: Authorization header is missing.')
    const [, bearer] = /^Bearer (.+)$/.exec(given) ?? []
    const grant = bearer === undefined ? this.access.signature(given) : this.access.bearer(bearer)
    // A signature may be for the entity or for the very URL, which lies below it.
    const url = decodeURIComponent(request.url.split('?')[0]).replace(/^\/+|\/+$/g, '')
    if (!grant.allows(right, path) && !grant.allows(right, url)) throw missingClaim(right, path)
  }

  #fail(path) {
    const throttled = this.faults.spend('throttle', 'http', path)
    if (throttled) {
      throw new Refusal(throttled.status ?? 429, 'com.microsoft:server-busy', 'The request was terminated because the entity is being throttled.', {
        headers: throttled.retry_after === undefined ? {} : { 'Retry-After': String(throttled.retry_after) },
      })
    }
    const failed = this.faults.spend('error', 'http', path)
    if (failed) throw new Refusal(failed.status ?? 500, 'amqp:internal-error', failed.description ?? 'The service was unable to process the request.')
  }

  async #linger(kind, path) {
    const late = this.faults.spend(kind, 'http', path)
    if (late) await new Promise((resolve) => setTimeout(resolve, late.milliseconds))
  }

  async #send(request, response, path, body) {
    const entity = this.store.entity(path)
    const contents = contentsOf(request, body)
    entity.check(contents)
    for (const content of contents) entity.put(content)
    if (this.faults.spend('lose_answers', 'http', path)) return void request.socket.destroy()
    await this.#linger('delay_answer', path)
    response.writeHead(201, { 'Content-Type': 'application/xml; charset=utf-8', 'Content-Length': 0 })
    response.end()
  }

  async #receive(request, response, path, rest, query) {
    const queue = this.store.queue(path)
    if (rest.toLowerCase() === 'head') {
      const settled = request.method === 'DELETE'
      if (!settled && request.method !== 'POST') throw new Refusal(405, 'amqp:not-implemented', `${request.method} is not for the head`)
      const message = await this.#next(response, queue, settled, Number(query.get('timeout') ?? 60))
      return this.#answer(request, response, path, message, settled)
    }
    const [name, token] = rest.split('/')
    if (token === undefined) throw new Refusal(404, 'amqp:not-found', `nothing is at '${rest}'`)
    const key = token.replaceAll('-', '').toLowerCase()
    queue.lockedAs(key, name)
    if (request.method === 'DELETE') queue.complete(key)
    else if (request.method === 'PUT') queue.abandon(key)
    else if (request.method === 'POST') queue.renew(key)
    else throw new Refusal(405, 'amqp:not-implemented', `${request.method} is not for a locked message`)
    response.writeHead(200, { 'Content-Length': 0 }).end()
  }

  /** The next message, waiting up to `seconds` for one. */
  #next(response, queue, settled, seconds) {
    return new Promise((resolve) => {
      const attempt = () => (settled ? queue.takeAndDelete() : queue.take())
      const finish = (message) => {
        clearTimeout(timer)
        queue.unwatch(consumer)
        resolve(message)
      }
      const consumer = {
        wake: () => {
          const message = attempt()
          if (message !== undefined) finish(message)
        },
      }
      const timer = setTimeout(() => finish(undefined), seconds * 1000)
      response.on('close', () => finish(undefined))
      queue.watch(consumer)
      consumer.wake()
    })
  }

  #answer(request, response, path, message, settled) {
    if (message === undefined) return void response.writeHead(204).end()
    const fields = message.content.propertyFields()
    const names = { message_id: 'MessageId', subject: 'Label', correlation_id: 'CorrelationId', session_id: 'SessionId', to: 'To', reply_to: 'ReplyTo' }
    const broker = Object.fromEntries(Object.entries(names).flatMap(([from, to]) => (fields[from] === undefined ? [] : [[to, fields[from]]])))
    Object.assign(broker, { DeliveryCount: message.deliveries + 1, SequenceNumber: message.sequence, EnqueuedTimeUtc: new Date(message.enqueuedAt).toUTCString() })
    const headers = { 'Content-Type': fields.content_type ?? 'application/octet-stream' }
    if (!settled) {
      broker.LockToken = message.lockToken.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
      broker.LockedUntilUtc = new Date(message.lockedUntil).toUTCString()
      headers.Location = `${request.socket.encrypted ? 'https' : 'http'}://${request.headers.host}/${path}/messages/${message.sequence}/${broker.LockToken}`
    }
    for (const [name, value] of message.content.applicationPairs) headers[name] = ascii(plain(value))
    headers.BrokerProperties = ascii(broker)
    response.writeHead(settled ? 200 : 201, headers).end(message.content.bodyBytes())
  }

  #refuse(response, error) {
    if (!(error instanceof Refusal)) console.error(error)
    if (response.socket === null || response.socket.destroyed) return
    const status = error instanceof Refusal ? error.status : 500
    this.count.refused += 1
    const body = `<Error><Code>${status}</Code><Detail>${escapeXml(error.message)} TrackingId:stand-in</Detail></Error>`
    response.writeHead(status, { 'Content-Type': 'application/xml; charset=utf-8', ...error.headers }).end(body)
  }
}
