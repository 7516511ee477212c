/** The half of uploads that lives in an app's own backend: `@millrace/client/server`. */
export { createUploads, type UploadsOptions } from './create-uploads.ts'
export { ensureWebhook } from './ensure-webhook.ts'
export type { Deletion } from './receive-event.ts'
export { toNodeHandler } from './to-node-handler.ts'
export { UploadRefused } from './upload-refused.ts'
export {
  type InputSchema,
  type MiddlewareArguments,
  type OutcomeArguments,
  type RouteDefinition,
  route,
  type UploadRoute,
} from './upload-route.ts'
