import type { Identity, Session } from '../../frame/identity.ts'

/** Delay before the session is opened again, in ms. */
const delayMs = 2_000

/**
 * Opens the session, again and again until it succeeds.
 *
 * @param onFailed called after each failure
 */
export async function openSession(identity: Pick<Identity, 'open'>, onFailed: () => void): Promise<Session> {
  for (;;) {
    try {
      return await identity.open()
    } catch {
      onFailed()
      await new Promise((resolve) => setTimeout(resolve, delayMs))
    }
  }
}
