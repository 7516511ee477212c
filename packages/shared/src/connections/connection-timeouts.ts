/** Default of `UPLOAD_IDLE_TIMEOUT_MS`, in ms. */
export const defaultUploadIdleTimeoutMs = 120_000
/** How often an upload is checked within its idle timeout. So a silent one may last this part longer. */
export const checksPerIdleTimeout = 4
/** Between two steps of the order below, in ms: a busy process is late. */
const marginMs = 10_000
/** The default of load balancers, in ms: three heartbeats of an event stream. */
const minBalancerIdleMs = 60_000

/**
 * Returns the idle timeouts on both sides of a load balancer. Their order is: the API ends a silent upload, then the load
 * balancer closes an idle connection, then the API does. If the load balancer came before the first one, a silent upload would
 * get its 408 instead of the API's, and `UPLOAD_IDLE_TIMEOUT_MS` would have no effect. If it came after the last one, it
 * would send requests on connections that the API is closing, and respond with 502.
 *
 * @param uploadIdleTimeoutMs `UPLOAD_IDLE_TIMEOUT_MS`
 * @returns `balancerIdleMs`, in whole seconds, for the load balancer; `keepAliveMs`, for the API's idle connections
 */
export function connectionTimeouts(uploadIdleTimeoutMs: number): {
  balancerIdleMs: number
  keepAliveMs: number
} {
  const longestSilenceMs = uploadIdleTimeoutMs * (1 + 1 / checksPerIdleTimeout)
  const neededMs = Math.ceil((longestSilenceMs + marginMs) / 1_000) * 1_000
  const balancerIdleMs = Math.max(minBalancerIdleMs, neededMs)
  return { balancerIdleMs, keepAliveMs: balancerIdleMs + marginMs }
}
