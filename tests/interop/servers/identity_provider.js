// A provider of OpenID Connect: node-oidc-provider. For each algorithm it has a key, and a client of that name, which gets
// access tokens for its credentials, as JWTs. identity_provider.js PORT PREFIX_OF_KEY_IDS; it prints its issuer once it
// listens.
import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

const [port, prefix] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] }
const algorithms = Object.keys(kinds)

const makeKey = (alg) => {
  const { privateKey } = generateKeyPairSync(...kinds[alg])
  return { ...privateKey.export({ format: 'jwk' }), kid: `${prefix}-${alg}`, alg, use: 'sig' }
}

const provider = new Provider(issuer, {
  clients: algorithms.map((algorithm) => ({
    client_id: algorithm,
    client_secret: 'secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: algorithm,
  })),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource, { clientId }) => ({
        scope: 'create append inspect watch download',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: clientId } },
      }),
    },
  },
  extraTokenClaims: () => ({ onward: { maxSize: 1_000_000 } }),
  jwks: { keys: algorithms.map(makeKey) },
})
provider.listen(Number(port), '127.0.0.1', () => console.log(issuer))
