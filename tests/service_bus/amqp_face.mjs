// The AMQP face: connections, tokens, and who may attach to what. What moves on a link is in inlet.mjs, outlet.mjs and replies.mjs.

import { createServer as createPlain } from 'node:net'
import { createServer as createSecure } from 'node:tls'
import { missingClaim, resourcePath } from './access.mjs'
import { rhea } from './amqp_library.mjs'
import { covers } from './faults.mjs'
import { Inlet } from './inlet.mjs'
import { Management } from './management.mjs'
import { Outlet } from './outlet.mjs'
import { CBS, Replies } from './replies.mjs'
import { Refusal, notAllowed, unauthorized } from './refusal.mjs'

const MANAGEMENT = '/$management'
const SAS_TYPES = new Set(['servicebus.windows.net:sastoken', 'sastoken'])
const TOKEN_TYPES = new Set([...SAS_TYPES, 'jwt', 'servicebus.windows.net:jwt'])

export class AmqpFace {
  constructor({ store, access, faults, count, clock = Date.now }) {
    Object.assign(this, { store, access, faults, count, clock })
    this.links = new Set()
    this.connections = new Set()
    this.servers = []
    this.management = new Management(store)
    this.container = rhea.create_container({ id: 'service-bus-stand-in' })
    this.#mechanisms()
    this.#events()
  }

  listen(options, tls) {
    const accept = (socket) => {
      socket.setNoDelay(true)
      this.count.connections += 1
      const connection = this.container.create_connection({
        max_frame_size: 65_536,
        idle_time_out: 240_000,
        session_buffer_size: { incoming: 8192, outgoing: 65_536 },
        receiver_options: { autoaccept: false, credit_window: 1000 },
        sender_options: { treat_modified_as_released: false },
      })
      connection.stand_in = { grants: new Map() }
      this.connections.add(connection)
      socket.on('close', () => this.#closed(connection))
      connection.accept(socket)
    }
    const server = tls ? createSecure(tls, accept) : createPlain(accept)
    this.servers.push(server)
    return new Promise((resolve, reject) => {
      server.on('error', reject)
      server.on('tlsClientError', () => {})
      server.listen(options, () => resolve(server.address().port))
    })
  }

  // ANONYMOUS and MSSBCBS leave it to $cbs to say who is there; PLAIN is a policy's name and key.
  #mechanisms() {
    const mechanisms = this.container.sasl_server_mechanisms
    const open = () => ({ outcome: undefined, start() { this.outcome = true } })
    mechanisms.MSSBCBS = open
    mechanisms.ANONYMOUS = open
    const access = this.access
    mechanisms.PLAIN = () => ({
      outcome: undefined,
      start(response) {
        const [, name, key] = response.toString('utf8').split('\0')
        this.grant = access.plain(name, key)
        this.outcome = this.grant !== undefined
      },
    })
  }

  #events() {
    const on = (name, handle) => this.container.on(name, handle)
    on('receiver_open', ({ receiver }) => this.#opening(receiver, 'Send', receiver.target?.address))
    on('sender_open', ({ sender }) => this.#opening(sender, 'Listen', sender.source?.address))
    // What the library had read before a cut is as if it had never come.
    on('message', (context) => context.connection.socket.destroyed || context.receiver.stand_in?.message(context))
    on('sender_flow', ({ sender }) => sender.stand_in?.wake?.())
    on('sender_draining', ({ sender }) => sender.stand_in?.drain?.())
    for (const outcome of ['accepted', 'released', 'rejected', 'modified']) {
      on(outcome, ({ sender, delivery }) => sender.stand_in?.settle?.(outcome, delivery))
    }
    for (const name of ['receiver_close', 'receiver_error']) on(name, ({ receiver }) => this.#gone(receiver))
    for (const name of ['sender_close', 'sender_error']) on(name, ({ sender }) => this.#gone(sender))
    on('session_close', ({ session }) => session.each_link((link) => this.#gone(link)))
    on('session_error', ({ session }) => session.each_link((link) => this.#gone(link)))
    for (const name of ['connection_close', 'connection_error', 'disconnected']) on(name, () => {})
    for (const name of ['protocol_error', 'error']) on(name, (error) => console.error(error))
  }

  // ---- attaching ----

  #opening(link, right, address) {
    try {
      // The settle modes answered: what the peer asked for when it receives; `first` when it sends, which is all Service Bus offers.
      link.local.attach.snd_settle_mode = link.remote.attach.snd_settle_mode
      link.local.attach.rcv_settle_mode = link.is_receiver() ? 0 : link.remote.attach.rcv_settle_mode
      if (typeof address !== 'string') throw notAllowed('a link needs an address')
      const path = addressPath(address)
      this.#checkAttach(link, right, path)
      link.stand_in = this.#role(link, path)
      link.stand_in.path = path
      if (link.stand_in.opened?.() !== false) this.echo(link)
      this.links.add(link)
    } catch (error) {
      this.refuse(link, error)
    }
  }

  #checkAttach(link, right, path) {
    const refused = this.faults.spend('refuse_attach', 'amqp', path)
    if (refused) throw new Refusal(503, refused.condition ?? 'amqp:internal-error', refused.description ?? 'refused on demand')
    if (path === CBS) return
    const isManagement = path.toLowerCase().endsWith(MANAGEMENT)
    this.#authorise(link.connection, isManagement ? undefined : right, path)
  }

  #role(link, path) {
    const replies = (address, handle) => new Replies(this, link, address, handle)
    if (path === CBS) return replies(CBS, (request) => this.#putToken(link.connection, request))
    if (path.toLowerCase().endsWith(MANAGEMENT)) {
      const entity = path.slice(0, -MANAGEMENT.length)
      this.management.check(entity)
      return replies(path, (request) => this.management.answer(entity, request))
    }
    return link.is_receiver() ? new Inlet(this, link, this.store.entity(path)) : new Outlet(this, link, this.store.queue(path))
  }

  /** Answers an attach with the peer's own source and target. An empty one is left out: some clients cannot read it. */
  echo(link, source = link.remote.attach.source) {
    if (source) link.set_source(fieldsOf(source))
    if (link.remote.attach.target) link.set_target(fieldsOf(link.remote.attach.target))
  }

  /** Ends a link with a reason. */
  refuse(link, error) {
    if (!(error instanceof Refusal)) console.error(error)
    const refusal = (error instanceof Refusal ? error : new Refusal(500, 'amqp:internal-error', error.message)).amqp
    this.#gone(link)
    link.close(refusal)
  }

  #gone(link) {
    this.links.delete(link)
    const role = link.stand_in
    link.stand_in = undefined
    role?.closed?.()
  }

  #closed(connection) {
    this.connections.delete(connection)
    for (const link of [...this.links]) if (link.connection === connection) this.#gone(link)
  }

  // ---- who is there ----

  #grant(connection, path) {
    const { grants } = connection.stand_in
    const outright = connection.sasl_transport?.selected?.mechanism?.grant ?? connection.sasl_transport?.mechanism?.grant
    if (outright?.covers(path)) return outright
    let best
    for (const grant of grants.values()) if (grant.covers(path) && (best === undefined || grant.expiresAt > best.expiresAt)) best = grant
    return best
  }

  #authorise(connection, right, path) {
    const grant = this.#grant(connection, path)
    if (grant === undefined) throw missingClaim(right ?? 'Listen', path)
    if (grant.expiresAt <= this.clock()) throw unauthorized('ExpiredToken: The token is expired.')
    if (right !== undefined && !grant.allows(right, path)) throw missingClaim(right, path)
  }

  /** What `$cbs` was asked: https://docs.oasis-open.org/amqp/amqp-cbs/v1.0, with Service Bus' token types. */
  #putToken(connection, request) {
    // Some clients send these as bytes.
    const [operation, type, name] = ['operation', 'type', 'name'].map((key) => String(request.application_properties?.[key]))
    this.count.tokens += 1
    if (operation !== 'put-token') throw new Refusal(400, 'amqp:not-implemented', `the operation '${operation}' of $cbs`)
    const path = resourcePath(name)
    if (this.faults.spend('refuse_auth', 'amqp', path)) throw unauthorized('MalformedToken: refused on demand.')
    const token = String(request.body)
    if (!TOKEN_TYPES.has(type)) throw unauthorized(`UnsupportedTokenType: '${type}'`)
    // The token itself says which it is: Microsoft's Python client calls signatures `jwt` too.
    const signed = SAS_TYPES.has(type) || token.startsWith('SharedAccessSignature ')
    const grant = signed ? this.access.signature(token) : this.access.bearer(token)
    if (!grant.covers(path)) throw unauthorized(`InvalidAudience: the token is for '${grant.path}', not for '${path}'.`)
    // The token counts for the audience it was put for, no more.
    const narrowed = Object.create(grant, { path: { value: path } })
    connection.stand_in.grants.set(path, narrowed)
    return { status: 202, description: 'Accepted' }
  }

  // ---- time and trouble ----

  /** Detaches links whose token is over. */
  sweep() {
    const now = this.clock()
    for (const link of [...this.links]) {
      const path = link.stand_in?.path
      if (path === undefined || path === CBS) continue
      const grant = this.#grant(link.connection, path)
      if (grant === undefined || grant.expiresAt <= now) this.refuse(link, unauthorized('ExpiredToken: The token is expired. Renew it by $cbs.'))
    }
  }

  /** Every token put so far for the entity (or any) is over. */
  expireTokens(entity) {
    const lower = entity?.toLowerCase()
    for (const connection of this.connections) {
      const { grants } = connection.stand_in
      for (const path of [...grants.keys()]) if (lower === undefined || covers(lower, path)) grants.delete(path)
    }
    this.sweep()
  }

  #linksOf(entity, role) {
    const lower = entity?.toLowerCase()
    return [...this.links].filter((link) => {
      const path = link.stand_in?.path?.toLowerCase()
      if (path === undefined || path === CBS) return false
      // What the peer is: it sends on what is a receiver here.
      const peer = link.is_receiver() ? 'sender' : 'receiver'
      return (lower === undefined || covers(lower, path)) && (role === undefined || role === peer)
    })
  }

  /** Detaches the entity's links; answers how many. */
  detach({ entity, role, condition = 'amqp:link:detach-forced', description = 'The link was detached on demand.' }) {
    const links = this.#linksOf(entity, role)
    for (const link of links) this.refuse(link, new Refusal(503, condition, description))
    return links.length
  }

  /** Cuts the connections that hold a link of the entity (or all); answers how many. */
  drop(entity) {
    const connections = entity === undefined ? this.connections : new Set(this.#linksOf(entity).map((link) => link.connection))
    const sockets = [...connections].map((connection) => connection.socket)
    for (const socket of sockets) socket.destroy()
    return sockets.length
  }

  /** Closes the connections that hold a link of the entity (or all) with an AMQP error. */
  close({ entity, condition = 'amqp:connection:forced', description = 'The connection was closed on demand.' }) {
    const connections = entity === undefined ? [...this.connections] : [...new Set(this.#linksOf(entity).map((link) => link.connection))]
    for (const connection of connections) connection.close({ condition, description })
    return connections.length
  }

  /** What is attached now, for the control face. */
  view() {
    return [...this.links].map((link) => ({
      path: link.stand_in?.path,
      peer: link.is_receiver() ? 'sender' : 'receiver',
      name: link.name,
      container: link.connection.container_id,
      credit: link.credit,
    }))
  }
}

/** An address without scheme and host, its slashes in order. */
const addressPath = (address) => {
  const [, path] = /^amqps?:\/\/[^/]*\/(.*)$/i.exec(address) ?? [undefined, address]
  return path.replace(/^\/+|\/+$/g, '')
}

const fieldsOf = (terminus) => {
  const fields = {}
  for (const name of ['address', 'durable', 'expiry_policy', 'timeout', 'dynamic', 'filter']) {
    if (terminus[name] !== undefined && terminus[name] !== null) fields[name] = terminus[name]
  }
  return fields
}
