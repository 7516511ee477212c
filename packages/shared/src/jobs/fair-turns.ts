import type { Redis } from 'ioredis'
import { redisScript, runScript } from '../connections/redis-script.ts'

/** BullMQ's highest priority number, which starts last. A job has it until it has a turn. */
export const withoutTurn = 2 ** 21 - 1

/** BullMQ's score of a waiting job is its priority times this, plus a counter that orders jobs of the same priority. */
const scorePerPriority = 2 ** 32

/**
 * The priorities of jobs with a turn. All backfill starts after all other jobs. Each range has room for half a million
 * turns before they are counted from the start again.
 */
const ranges = {
  upload: { first: 1, last: 2 ** 20 - 1 },
  backfill: { first: 2 ** 20, last: 2 ** 21 - 2 },
} as const

type Range = keyof typeof ranges

/**
 * How many owners without waiting jobs may begin at the same turn. The next one begins a turn later. So an owner with a
 * backlog starts at least one of this many jobs plus one, however many new owners there are. And no more last turns than
 * this are kept of owners that wait for nothing.
 */
const newcomersPerTurn = 64

/** Turns are counted from the start again when they pass this. */
const turnLimit = 2 ** 19

/** Expiry of the turns if no job is added, in ms. Without them, the turn of the next waiting job is taken. */
const ttlMs = 24 * 60 * 60 * 1000

/**
 * Lua: gives a job its turn, and writes it as the job's priority.
 *
 *   KEYS  prioritized, owners, clock, job, delayed, active
 *   ARGV  job id, owner, first priority of the range, last one, prefix of jobs, withoutTurn, scorePerPriority,
 *         newcomersPerTurn, turnLimit, ttlMs
 */
const placeScript = redisScript(`
local waiting, owners, clock = KEYS[1], KEYS[2], KEYS[3]
local jobId, owner = ARGV[1], ARGV[2]
local first, last = tonumber(ARGV[3]), tonumber(ARGV[4])
local jobPrefix = ARGV[5]
local perPriority = tonumber(ARGV[7])

-- An idle worker may have started it already. Its turn counts, and is for its retries.
if tonumber(redis.call('HGET', KEYS[4], 'priority') or 0) ~= tonumber(ARGV[6]) then return 0 end
local score = redis.call('ZSCORE', waiting, jobId)

local function limits()
  return string.format('%.0f', first * perPriority), string.format('(%.0f', (last + 1) * perPriority)
end
local function turnOf(priority) return priority - first + 1 end

-- The turn that starts now: all turns before the first waiting one have started. If none waits, all owners are even.
local now = tonumber(redis.call('HGET', clock, 'now')) or 1
local newcomers = tonumber(redis.call('HGET', clock, 'newcomers')) or 0
local before = now
local from, below = limits()
local head = redis.call('ZRANGEBYSCORE', waiting, from, below, 'WITHSCORES', 'LIMIT', 0, 1)
if head[2] then
  now = math.max(now, turnOf(math.floor(head[2] / perPriority)) - 1)
else
  local latest = redis.call('ZREVRANGE', owners, 0, 0, 'WITHSCORES')
  now = math.max(now, tonumber(latest[2]) or 0)
end
if now ~= before then newcomers = 0 end

local turn = math.max(now, (tonumber(redis.call('ZSCORE', owners, owner)) or 0) + 1)

-- Counts turns from the start again: BullMQ's priorities end.
if turn > tonumber(ARGV[9]) then
  local shift = now - 1
  local function shifted(priority) return math.max(first, priority - shift) end
  local jobs = redis.call('ZRANGEBYSCORE', waiting, from, below, 'WITHSCORES')
  for i = 1, #jobs, 2 do
    local old = tonumber(jobs[i + 1])
    local priority = shifted(math.floor(old / perPriority))
    redis.call('ZADD', waiting, priority * perPriority + old % perPriority, jobs[i])
    redis.call('HSET', jobPrefix .. jobs[i], 'priority', priority)
  end
  for _, list in ipairs({ redis.call('ZRANGE', KEYS[5], 0, -1), redis.call('LRANGE', KEYS[6], 0, -1) }) do
    for _, id in ipairs(list) do
      local priority = tonumber(redis.call('HGET', jobPrefix .. id, 'priority')) or 0
      if priority >= first and priority <= last then
        redis.call('HSET', jobPrefix .. id, 'priority', shifted(priority))
      end
    end
  end
  local turns = redis.call('ZRANGE', owners, 0, -1, 'WITHSCORES')
  for i = 1, #turns, 2 do redis.call('ZADD', owners, math.max(0, turns[i + 1] - shift), turns[i]) end
  now = 1
  turn = math.min(turn - shift, turnOf(last))
end

redis.call('ZADD', owners, turn, owner)
if turn == now then
  newcomers = newcomers + 1
  if newcomers >= tonumber(ARGV[8]) then
    now = now + 1
    newcomers = 0
  end
end
redis.call('ZREMRANGEBYSCORE', owners, '-inf', '(' .. now)
redis.call('HSET', clock, 'now', now, 'newcomers', newcomers)
redis.call('PEXPIRE', owners, ARGV[10])
redis.call('PEXPIRE', clock, ARGV[10])

local priority = first + turn - 1
if score then redis.call('ZADD', waiting, priority * perPriority + score % perPriority, jobId) end
redis.call('HSET', KEYS[4], 'priority', priority)
return priority
`)

/** Lua: gives back the turn of a waiting job. KEYS: prioritized, owners. ARGV: job id, owner, scores of the range. */
const giveBackScript = redisScript(`
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if not score or score < tonumber(ARGV[3]) or score >= tonumber(ARGV[4]) then return 0 end
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
return redis.call('ZINCRBY', KEYS[2], -1, ARGV[2])
`)

/** What fair turns need of a BullMQ queue. `toKey` returns the Redis key of a part of it. */
type KeyedQueue = { toKey(part: string): string }

/**
 * Starts the jobs of a queue in turns: owners with waiting jobs start one each in a turn, in the order in which they were
 * added. A job of an owner without waiting jobs begins at the turn that starts now, so it waits for the running jobs and
 * not for the backlog of another owner. This is start-time fair queueing (Goyal, Vin, Cheng 1996), with the same cost for
 * each job.
 *
 * A turn is BullMQ's priority of the job, so a job that is retried or handed back keeps it. A stalled job starts first, as
 * does a job of an older version, which has no priority.
 *
 *   {prefix}:{queue}:turns:{range}         sorted set: the last turn of each owner
 *   {prefix}:{queue}:turns:{range}:clock   hash: `now`, the turn that starts now; `newcomers`, owners that began at it
 *
 * Both are hints. If Redis loses them, they are derived from the waiting jobs, and the order within an owner's jobs is
 * the only thing that suffers.
 */
export function createFairTurns({ redis, queue }: { redis: Redis; queue: KeyedQueue }) {
  const ownersKey = (range: Range) => queue.toKey(`turns:${range}`)
  const clockKey = (range: Range) => queue.toKey(`turns:${range}:clock`)
  const waitingKey = queue.toKey('prioritized')

  return {
    /** Options of a job that is added, until `place` gives it a turn. A crash in between leaves it behind all others. */
    options: { priority: withoutTurn },

    /**
     * Gives a job its turn. Does nothing if it has one.
     * @param options.isBackfill the job starts when no other job waits
     */
    async place(
      job: { jobId: string; owner: string },
      { isBackfill = false }: { isBackfill?: boolean | undefined } = {},
    ): Promise<void> {
      const range = isBackfill ? 'backfill' : 'upload'
      const keys = [
        waitingKey,
        ownersKey(range),
        clockKey(range),
        queue.toKey(job.jobId),
        queue.toKey('delayed'),
        queue.toKey('active'),
      ]
      await runScript(
        redis,
        placeScript,
        keys.length,
        ...keys,
        job.jobId,
        job.owner,
        ranges[range].first,
        ranges[range].last,
        queue.toKey(''),
        withoutTurn,
        scorePerPriority,
        newcomersPerTurn,
        turnLimit,
        ttlMs,
      )
    },

    /** Gives back the turn of a job that is about to be removed. Otherwise its owner's next job waits for it. */
    async giveBack({ jobId, owner }: { jobId: string; owner: string }): Promise<void> {
      const { first, last } = ranges.upload
      const scores = [first * scorePerPriority, (last + 1) * scorePerPriority]
      await runScript(redis, giveBackScript, 2, waitingKey, ownersKey('upload'), jobId, owner, ...scores)
    },

    /** Returns how many jobs of an owner wait, without backfill: its turns that have not started. */
    async backlogOf(owner: string): Promise<number> {
      const { first, last } = ranges.upload
      const [lastTurn, now, head] = await Promise.all([
        redis.zscore(ownersKey('upload'), owner),
        redis.hget(clockKey('upload'), 'now'),
        redis.zrange(waitingKey, '0', '0', 'WITHSCORES'),
      ])
      const headPriority = Math.floor(Number(head[1] ?? Number.POSITIVE_INFINITY) / scorePerPriority)
      if (headPriority > last) return 0
      const started = Math.max(Number(now ?? 1) - 1, headPriority - first)
      return Math.max(0, Number(lastTurn ?? 0) - started)
    },

    /** Returns the ids of the jobs that start next, without backfill. */
    async nextIds(limit: number): Promise<string[]> {
      const below = `(${ranges.backfill.first * scorePerPriority}`
      return redis.zrangebyscore(waitingKey, '-inf', below, 'LIMIT', 0, limit)
    },

    /** Returns the number of waiting jobs that are not backfill. */
    async countWaiting(): Promise<number> {
      return redis.zcount(waitingKey, '-inf', `(${ranges.backfill.first * scorePerPriority}`)
    },

    /** Returns the number of waiting jobs that are backfill. */
    async countBackfill(): Promise<number> {
      return redis.zcount(waitingKey, ranges.backfill.first * scorePerPriority, '+inf')
    },
  }
}

export type FairTurns = ReturnType<typeof createFairTurns>
