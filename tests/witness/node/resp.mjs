// A foreign client of the RESP door: `node resp.mjs ioredis|node-redis PORT [TOKEN]`. It subscribes to two patterns and a channel,
// publishes what it hears, and prints what came as a line of JSON.
import { createRequire } from 'node:module'

// Packages are where tests/run installed them, not beside this file.
const require = createRequire(`${process.env.RIALTO_TEST_NODE_MODULES}/`)
const [library, port, password] = process.argv.slice(2)
const heard = []
const until = async (count) => {
  for (let waited = 0; heard.length < count; waited += 10) {
    if (waited > 15000) throw new Error(`only ${heard.length} of ${count} messages came`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function ioredis() {
  const Redis = require('ioredis')
  const open = () => new Redis({ port: Number(port), host: '127.0.0.1', password, maxRetriesPerRequest: 1 })
  const [subscriber, publisher] = [open(), open()]
  subscriber.on('pmessage', (pattern, channel, message) => heard.push([pattern, channel, message]))
  subscriber.on('message', (channel, message) => heard.push([null, channel, message]))
  await subscriber.psubscribe('app:*', 'none:*')
  await subscriber.subscribe('app:exact')
  const counts = await Promise.all(['1', '2', '3'].map((n) => publisher.publish(`app:${n}`, `{"n":${n}}`)))
  counts.push(await publisher.publish('app:exact', 'ü'))
  await until(5)
  await subscriber.punsubscribe('app:*')
  counts.push(await publisher.publish('app:4', 'unheard'))
  subscriber.disconnect()
  publisher.disconnect()
  return counts
}

async function nodeRedis(RESP) {
  const { createClient } = require('redis')
  const open = () => createClient({ url: `redis://127.0.0.1:${port}`, password, RESP, socket: { reconnectStrategy: false } }).connect()
  const [subscriber, publisher] = [await open(), await open()]
  await subscriber.pSubscribe(['app:*', 'none:*'], (message, channel) => heard.push(['app:*', channel, message]))
  await subscriber.subscribe('app:exact', (message, channel) => heard.push([null, channel, message]))
  const counts = await Promise.all(['1', '2', '3'].map((n) => publisher.publish(`app:${n}`, `{"n":${n}}`)))
  counts.push(await publisher.publish('app:exact', 'ü'))
  await until(5)
  await subscriber.pUnsubscribe('app:*')
  counts.push(await publisher.publish('app:4', 'unheard'))
  await subscriber.close()
  await publisher.close()
  return counts
}

const counts = await { ioredis, 'node-redis': () => nodeRedis(2), 'node-redis-resp3': () => nodeRedis(3) }[library]()
console.log(JSON.stringify({ counts, heard }))
