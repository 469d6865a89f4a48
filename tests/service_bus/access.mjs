// Who may do what: shared access signatures and bearer tokens, checked the same for both faces.

import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto'
import { unauthorized } from './refusal.mjs'

/** The entity a resource URI means, in lower case; '' is the whole namespace. */
export const resourcePath = (uri) => {
  const [, afterScheme] = /^[a-z]+:\/\/(.*)$/i.exec(uri) ?? [undefined, uri]
  const slash = afterScheme.indexOf('/')
  const path = slash < 0 ? '' : afterScheme.slice(slash + 1)
  return path.split('?')[0].replace(/\/+$/, '').toLowerCase()
}

const within = (path, prefix) => prefix === '' || path === prefix || path.startsWith(`${prefix}/`)

/** What one token allows, and until when. */
class Grant {
  constructor(path, rights, expiresAt) {
    this.path = path
    this.rights = rights
    this.expiresAt = expiresAt
  }

  covers(path) {
    return within(path.toLowerCase(), this.path)
  }

  allows(right, path) {
    return this.covers(path) && (this.rights.includes(right) || this.rights.includes('Manage'))
  }
}

export class Access {
  #policies
  #tokens = new Map()
  #issuers = []
  #clock
  #verified = new Map()

  /** Policies `{ name, key, rights, entity }`, tokens `{ token, rights, entity, expires_in }`. */
  constructor({ policies = [], tokens = [] }, clock = Date.now) {
    this.#policies = new Map(policies.map((policy) => [policy.name, { rights: ['Send', 'Listen', 'Manage'], ...policy }]))
    this.#clock = clock
    for (const token of tokens) this.accept(token)
  }

  accept({ token, rights = ['Send', 'Listen'], entity = '', expires_in: seconds }) {
    this.#tokens.set(token, new Grant(entity.toLowerCase(), rights, seconds === undefined ? Infinity : this.#clock() + seconds * 1000))
  }

  /** From now on JWTs that this key signed (ES256, RFC 7518) for this audience are good until their time is over. */
  trust({ key, audience, rights = ['Send', 'Listen'] }) {
    this.#issuers.push({ key: createPublicKey(key), audience, rights })
  }

  revoke(token) {
    return this.#tokens.delete(token)
  }

  setPolicy(policy) {
    this.#policies.set(policy.name, { rights: ['Send', 'Listen', 'Manage'], ...policy })
    this.#verified.clear()
  }

  get policies() {
    return [...this.#policies.values()]
  }

  /** What a policy's name and key given outright (SASL PLAIN) allow. */
  plain(name, key) {
    const policy = this.#policies.get(name)
    return policy && policy.key === key ? new Grant((policy.entity ?? '').toLowerCase(), policy.rights, Infinity) : undefined
  }

  bearer(token) {
    const grant = this.#tokens.get(token) ?? this.#issued(token)
    if (grant === undefined) throw unauthorized('InvalidToken: the token is not known here.')
    return this.#unexpired(grant)
  }

  /** What a JWT allows that somebody signed whom we trust; undefined where nobody did. */
  #issued(token) {
    const parts = token.split('.')
    if (parts.length !== 3) return undefined
    const [head, claims, signature] = parts
    const issuer = this.#issuers.find(({ key }) =>
      verify('sha256', Buffer.from(`${head}.${claims}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')))
    if (issuer === undefined) return undefined
    const { aud, exp } = JSON.parse(Buffer.from(claims, 'base64url'))
    if (![aud].flat().includes(issuer.audience)) throw unauthorized(`InvalidAudience: the token is for '${aud}', not for '${issuer.audience}'.`)
    return new Grant('', issuer.rights, exp * 1000)
  }

  /** What a shared access signature allows, when its signature is right and its time is not over. */
  signature(token) {
    let grant = this.#verified.get(token)
    if (grant === undefined) {
      grant = this.#verify(token)
      if (this.#verified.size > 1000) this.#verified.clear()
      this.#verified.set(token, grant)
    }
    return this.#unexpired(grant)
  }

  #unexpired(grant) {
    if (grant.expiresAt <= this.#clock()) throw unauthorized('ExpiredToken: The token is expired. Reason: The token is expired.')
    return grant
  }

  #verify(token) {
    const [, list] = /^SharedAccessSignature (.+)$/.exec(token) ?? []
    const fields = Object.fromEntries((list ?? '').split('&').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
    const { sr, sig, se, skn } = fields
    if (!sr || !sig || !skn || !/^\d+$/.test(se ?? '')) throw unauthorized('MalformedToken: a shared access signature has sr, sig, se and skn.')
    const policy = this.#policies.get(decodeURIComponent(skn))
    if (policy === undefined) throw unauthorized(`InvalidSignature: no policy is called '${skn}'.`)
    const expected = createHmac('sha256', policy.key).update(`${sr}\n${se}`).digest()
    const given = Buffer.from(decodeURIComponent(sig), 'base64')
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw unauthorized('InvalidSignature: The token has an invalid signature.')
    const resource = resourcePath(decodeURIComponent(sr.replaceAll('+', ' ')))
    const entity = (policy.entity ?? '').toLowerCase()
    // A policy of one entity signs for nothing outside it.
    if (!within(resource, entity)) throw unauthorized(`InvalidAudience: the policy '${skn}' does not cover '${resource}'.`)
    return new Grant(resource, policy.rights, Number(se) * 1000)
  }
}

/** `Unauthorized access` as the service words it. */
export const missingClaim = (right, path) =>
  unauthorized(`Unauthorized access. '${right}' claim(s) are required to perform this operation. Resource: 'sb://stand-in/${path}'.`)
