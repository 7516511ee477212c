/** A reason for not starting that the user can act on: its message is one sentence, shown without a stack. */
export class CannotStart extends Error {
  override name = 'CannotStart'
}
