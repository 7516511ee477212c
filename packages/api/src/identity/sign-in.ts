import { Owner, UserId } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static } from 'typebox'

/**
 * Who signed a session in. It is sealed into the cookie, so that a loss of Redis signs nobody out. A token is sealed as it
 * was sent and verified with each request: the session ends with the token, however that ends. An API key is not put into
 * a browser, even sealed: its id is.
 */
export const SignIn = Type.Object({
  owner: Owner,
  token: Type.Optional(Type.String({ minLength: 1 })),
  key: Type.Optional(Type.Object({ id: Type.String({ minLength: 1 }), user: UserId })),
})
export type SignIn = Static<typeof SignIn>
