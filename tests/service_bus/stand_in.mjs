#!/usr/bin/env node
// A stand-in for Azure Service Bus on loopback: its AMQP 1.0 and its REST face over one store, and a control face for tests.
//
//   node stand_in.mjs [CONFIGURATION.json]
//
// The configuration, every key optional:
//   entities    { NAME: { lock_seconds, max_delivery_count, dedup_seconds, sessions, subscriptions: { NAME: {} }, … } } (settings.mjs)
//   policies    [{ name, key, rights: [Send, Listen, Manage], entity }]; without it one policy that may do everything
//   tokens      [{ token, rights, entity, expires_in }]: bearer tokens that are good
//   tls         { cert, key, client_ca }: PEM files; opens an encrypted door beside each plain one
//   ports       { amqp, amqps, http, https, control }: 0 or absent is a free one
//
// Prints one line of JSON: addresses, keys, a connection string. Ends on SIGTERM, and when standard input is a pipe and closes.
//
// It is built from Microsoft's public documents and from what its client libraries expect. That those clients pass here says that it
// is like the service where they look; it does not say that the service is like it.

import { randomBytes } from 'node:crypto'
import { fstatSync, readFileSync } from 'node:fs'
import { Access } from './access.mjs'
import { AmqpFace } from './amqp_face.mjs'
import { Control } from './control.mjs'
import { Faults } from './faults.mjs'
import { HttpFace } from './http_face.mjs'
import { Store } from './store.mjs'

const SWEEP_MS = 20
const HOST = '127.0.0.1'

const configuration = process.argv[2] ? JSON.parse(readFileSync(process.argv[2], 'utf8')) : {}
const policies = configuration.policies ?? [{ name: 'RootManageSharedAccessKey', key: randomBytes(32).toString('base64') }]
const started = Date.now()

const store = new Store()
const access = new Access({ policies, tokens: configuration.tokens })
const faults = new Faults()
const counters = { amqp: { connections: 0, tokens: 0, transfers: 0 }, http: { connections: 0, requests: 0, refused: 0 } }
const amqp = new AmqpFace({ store, access, faults, count: counters.amqp })
const http = new HttpFace({ store, access, faults, count: counters.http })
const addresses = {}

for (const [name, settings] of Object.entries(configuration.entities ?? {})) store.create(name, settings)

const describe = () => {
  const [{ name, key }] = policies
  const signing = `SharedAccessKeyName=${name};SharedAccessKey=${key}`
  return {
    ...addresses,
    pid: process.pid,
    policies: access.policies,
    connection_string: `Endpoint=sb://${addresses.amqp.split('//')[1]};${signing};UseDevelopmentEmulator=true`,
    counters,
    open: { amqp: amqp.connections.size, http: http.sockets.size },
    up_seconds: (Date.now() - started) / 1000,
  }
}

// Nobody gets through for a while: what is there is cut, what comes is cut.
const refuse = (milliseconds) => {
  const cut = (socket) => socket.destroy()
  const servers = [...amqp.servers, ...http.servers]
  for (const server of servers) server.prependListener('connection', cut)
  amqp.drop()
  http.drop()
  setTimeout(() => servers.forEach((server) => server.removeListener('connection', cut)), milliseconds)
}

const at = (name) => ({ host: HOST, port: configuration.ports?.[name] ?? 0 })
addresses.amqp = `amqp://${HOST}:${await amqp.listen(at('amqp'))}`
addresses.http = `http://${HOST}:${await http.listen(at('http'))}`

// Opens an encrypted door beside each plain one.
const secure = async ({ cert, key, client_ca: clients }) => {
  const tls = { cert, key, ...(clients ? { ca: clients, requestCert: true, rejectUnauthorized: true } : {}) }
  return { amqps: `amqps://${HOST}:${await amqp.listen(at('amqps'), tls)}`, https: `https://${HOST}:${await http.listen(at('https'), tls)}` }
}
if (configuration.tls) {
  const read = Object.entries(configuration.tls).map(([name, file]) => [name, readFileSync(file, 'utf8')])
  Object.assign(addresses, await secure(Object.fromEntries(read)))
}
const control = new Control({ store, access, faults, amqp, http, describe, refuse, secure })
addresses.control = `http://${HOST}:${await control.listen(at('control'))}`

setInterval(() => {
  store.sweep()
  amqp.sweep()
}, SWEEP_MS)

const end = () => process.exit(0)
process.on('SIGTERM', end)
process.on('SIGINT', end)
const input = fstatSync(0)
if (input.isFIFO() || input.isSocket()) process.stdin.on('end', end).on('close', end).resume()
process.stdout.write(`${JSON.stringify(describe())}\n`)
