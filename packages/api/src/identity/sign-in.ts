import { Owner, UserId } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static } from 'typebox'

/**
 * Who signed a session in, as it is sealed into the cookie. An API key is not put into a browser, even sealed: its id is.
 *
 * A user's sign-in is in the cookie alone, so that a loss of Redis signs nobody out: a token as it was sent, which is
 * verified with each request, so that the session ends with the token, however that ends; or `key`, the API key that named
 * the user. `keyId` is that of a key that signed in for itself, with all its scopes. Such a session is worth more, so its
 * record in Redis must name the key as well: what was signed out never comes back.
 */
export const SignIn = Type.Object({
  owner: Owner,
  token: Type.Optional(Type.String({ minLength: 1 })),
  key: Type.Optional(Type.Object({ id: Type.String({ minLength: 1 }), user: UserId })),
  // Versions before 0.2 take the credential for a revoked one.
  keyId: Type.Optional(Type.String({ minLength: 1 })),
})
export type SignIn = Static<typeof SignIn>
