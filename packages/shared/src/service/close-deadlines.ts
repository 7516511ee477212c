/**
 * How long active requests of the API may take to end once their instance shuts down, in ms. stacks/ gives the
 * container more time than this before it is killed.
 */
export const requestsDeadlineMs = 10_000
