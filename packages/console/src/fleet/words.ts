/** What the words of this page mean. Each is explained where it stands. */
export const words = {
  instances:
    'Running processes that sent a heartbeat in the last 5 seconds: API instances answer requests, workers process uploads. ' +
    'On AWS each is one EC2 instance.',
  health:
    'Instances that take work, of all instances. One that drains for a planned stop, or whose heartbeats ended without ' +
    'notice in the last two minutes, is in the second number only.',
  requests:
    'HTTP requests that the API answered in the last minute, over all its instances. Health checks and open event streams ' +
    'do not count.',
  errors: 'Answers with a status of 500 or more, in the last minute: the fault is ours, not the caller’s.',
  responseTime:
    'From the headers of a request to the end of its answer. p50: half of the requests were faster. p95: 95 of 100 were ' +
    'faster. p99: 99 of 100 were faster. Computed from all requests of the last minute, not averaged over instances.',
  cpu: 'Processor time used, averaged over the instances of a tier. 100 % is one core, so a process with several threads can use more.',
  waiting:
    'Uploads that have arrived and wait for a worker: jobs in the queue, and messages in SQS without a job yet.',
  oldestJob:
    'How long the upload that has waited longest is waiting. Work that nobody waits for, such as reprocessing, does not count.',
  queueDepth:
    'Waiting: jobs without a worker. Active: jobs that workers process now. In SQS: arrivals without a job yet. Retrying: failed attempts that wait for the next one.',
  queueLoad:
    'Queue load: (waiting + active + not yet relayed jobs) ÷ slots. Below 1 it is the share of busy slots; above 1, uploads ' +
    'wait. The fleet grows above 0.7. A slot is room for one job at a time.',
  demand:
    'The work that arrives now ÷ slots. Unlike the queue load, it does not grow while uploads wait: it shows how many workers the arrivals need.',
  throughput: 'Uploads that workers finished, with any outcome, and the bytes of their originals.',
  failures:
    'Failed: ours, after five attempts; can be retried. Rejected: the file’s own fault, such as a damaged image; final. ' +
    'Both of the last hour.',
  jobDuration:
    'From the start of a worker’s job to its end: reading, inspecting, rendering and writing one upload. Percentiles of the last minute.',
  memory: 'Memory that the process holds (RSS).',
  active: 'Requests being answered, or worker slots in use.',
  events:
    'What the autoscaler decided, with its reason, and what happened to instances. Lost: heartbeats ended without notice, ' +
    'because the process was killed, crashed or cannot reach Redis.',
} as const
