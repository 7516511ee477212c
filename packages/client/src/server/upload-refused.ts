/**
 * Thrown by a route's `middleware` to refuse files. Any other error is a fault of the backend: the page gets status 500 and
 * nothing of its text.
 */
export class UploadRefused extends Error {
  override readonly name = 'UploadRefused'
  readonly status: 401 | 403

  /**
   * @param reason is shown to the user, in the user's language
   * @param options.status 401: nobody is logged in; 403, the default: this user may not
   */
  constructor(reason: string, options: { status?: 401 | 403 } = {}) {
    super(reason)
    this.status = options.status ?? 403
  }
}
