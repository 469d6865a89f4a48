// Microsoft's client for Node: `node service_bus.mjs receive CONNECTION_STRING TOPIC SUBSCRIPTION` prints one message as a line of
// JSON; `… send CONNECTION_STRING QUEUE ID BASE64` sends a batch of four, of which the first three have the bytes as their body.
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.RIALTO_TEST_NODE_MODULES}/`)
const { ServiceBusClient } = require('@azure/service-bus')
const [task, connectionString, name, id, base64] = process.argv.slice(2)
const client = new ServiceBusClient(connectionString)

async function receive() {
  const receiver = client.createReceiver(name, id, { skipParsingBodyAsJson: true })
  const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 15000 })
  await receiver.completeMessage(message)
  const { messageId, subject, contentType, correlationId, deliveryCount, applicationProperties } = message
  const body = Buffer.from(message.body).toString('base64')
  console.log(JSON.stringify({ body, messageId, subject, contentType, correlationId, deliveryCount, applicationProperties }))
}

async function send() {
  const sender = client.createSender(name)
  const batch = await sender.createMessageBatch()
  for (let number = 0; number < 4; number += 1) {
    const body = number < 3 ? Buffer.from(base64, 'base64') : { user_id: 123 }
    const applicationProperties = { message_type: 'ecst_event', number }
    const properties = { messageId: `${id}.${number}`, subject: 'UserJoined', contentType: 'application/json' }
    if (!batch.tryAddMessage({ body, ...properties, applicationProperties })) throw new Error('the batch is full')
  }
  await sender.sendMessages(batch)
}

await { receive, send }[task]()
await client.close()
