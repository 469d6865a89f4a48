// Microsoft's client for Node against the stand-in: `node service_bus_stand_in.mjs CONNECTION_STRING QUEUE TOPIC SESSIONS`. Prints
// what it saw as a line of JSON.
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.RIALTO_TEST_NODE_MODULES}/`)
const { ServiceBusClient } = require('@azure/service-bus')
const [connectionString, queue, topic, sessions] = process.argv.slice(2)
const client = new ServiceBusClient(connectionString)
const pick = (object, ...names) => Object.fromEntries(names.map((name) => [name, object[name]]))
const text = (body) => (Buffer.isBuffer(body) ? body.toString() : body)

const receive = async (receiver, count) => {
  const got = []
  for (let tries = 0; got.length < count; tries += 1) {
    if (tries > 10) throw new Error(`only ${got.length} of ${count} messages came`)
    got.push(...(await receiver.receiveMessages(count - got.length, { maxWaitTimeInMs: 1000 })))
  }
  return got
}

const codeOf = async (attempt) => {
  try {
    await attempt()
    return 'nothing was refused'
  } catch (error) {
    return error.code
  }
}

async function subscription(seen) {
  const sender = client.createSender(topic)
  const properties = { messageId: '1', subject: 'subject', contentType: 'text/plain', correlationId: 'c' }
  await sender.sendMessages({ body: 'hello', ...properties, applicationProperties: { whole: 1, text: 'x', yes: true } })
  const batch = await sender.createMessageBatch()
  for (let number = 0; number < 100; number += 1) batch.tryAddMessage({ body: Buffer.from(`b${number}`), messageId: `b${number}` })
  await sender.sendMessages(batch)

  const receiver = client.createReceiver(topic, 's')
  const [first, ...rest] = await receive(receiver, 101)
  seen.received = pick(first, 'body', ...Object.keys(properties), 'applicationProperties', 'deliveryCount')
  seen.batch = rest.map(({ body }) => text(body))
  seen.renewed = (await receiver.renewMessageLock(first)) > new Date()
  await receiver.completeMessage(first)
  await receiver.abandonMessage(rest[0], { x: 7 })
  await receiver.deadLetterMessage(rest[1], { deadLetterReason: 'why', deadLetterErrorDescription: 'because' })
  await Promise.all(rest.slice(2).map((message) => receiver.completeMessage(message)))
  const [again] = await receive(receiver, 1)
  seen.again = { ...pick(again, 'deliveryCount', 'applicationProperties'), body: text(again.body) }
  await receiver.completeMessage(again)
  const [dead] = await receive(client.createReceiver(topic, 's', { subQueueType: 'deadLetter' }), 1)
  seen.dead = { ...pick(dead, 'deadLetterReason', 'deadLetterErrorDescription'), body: text(dead.body) }
}

async function schedule(seen) {
  const sender = client.createSender(queue)
  await sender.sendMessages([{ body: 'once', messageId: 'same' }, { body: 'twice', messageId: 'same' }])
  const numbers = await sender.scheduleMessages([{ body: 'later' }, { body: 'never' }], new Date(Date.now() + 1000))
  await sender.cancelScheduledMessages(numbers[1])
  const receiver = client.createReceiver(queue)
  seen.peeked = (await receiver.peekMessages(10)).map(({ body }) => body)
  const [once, later] = await receive(receiver, 2)
  seen.duplicates = once.body === 'once' ? 1 : 0
  seen.scheduled = later.body
}

async function session(seen) {
  await client.createSender(sessions).sendMessages([1, 2, 3].map((body) => ({ body, sessionId: 's' })))
  const receiver = await client.acceptNextSession(sessions)
  await receiver.setSessionState({ a: 1 })
  const state = await receiver.getSessionState()
  await receiver.renewSessionLock()
  const messages = await receive(receiver, 3)
  const taken = await codeOf(() => client.acceptSession(sessions, 's'))
  seen.session = { id: receiver.sessionId, state, bodies: messages.map(({ body }) => body), taken }
  await receiver.close()
}

const seen = {}
await subscription(seen)
await schedule(seen)
await session(seen)
seen.unknown = await codeOf(() => client.createSender(`${queue}.nobody`).sendMessages({ body: 1 }))
const wrong = new ServiceBusClient(connectionString.replace('SharedAccessKey=', 'SharedAccessKey=x'), { retryOptions: { maxRetries: 0 } })
seen.wrongKey = await codeOf(() => wrong.createSender(queue).sendMessages({ body: 1 }))
await wrong.close()
await client.close()
console.log(JSON.stringify(seen))
