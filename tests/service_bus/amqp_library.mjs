// rhea, from where tests/brokers/service_bus installed it: not beside these files.

import { createRequire } from 'node:module'

const modules = process.env.RIALTO_TEST_SERVICE_BUS_MODULES
if (!modules) throw new Error('RIALTO_TEST_SERVICE_BUS_MODULES must name the folder that holds the package rhea')
const require = createRequire(`${modules}/`)

export const rhea = require('rhea')
export const types = rhea.types
/** Decodes a whole message into plain values: for requests, where a value's exact type does not matter. */
export const decode = rhea.message.decode
export const outcomes = rhea.message

// Receivers must see the sender's bytes, which the library would decode and throw away. Only this program uses this copy of it.
rhea.message.decode = (bytes) => bytes
