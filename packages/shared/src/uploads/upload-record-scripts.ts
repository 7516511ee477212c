import { redisScript } from '../connections/redis-script.ts'
import { defineKeepFor } from '../service/keep-for.ts'
import { defineNamesOf } from './counted-networks.ts'
import { defaultMaxIds, defineTrimIndex } from './upload-index.ts'

// The scripts with which records are changed (`upload-records.ts`). Redis runs each as one step, so that a record, its owner's
// index, counts and published changes always agree.

/**
 * The values of an erasure marker, each of which includes the ones before: begun; a listing showed that nothing is left;
 * a second erasure, after late copies of other regions, left nothing.
 */
const begun = '1'
export const verified = 'verified'
export const confirmed = 'confirmed'
/** The argument of a save that changes nothing about which networks count the upload. */
export const keepNetworks = '-'
/** How many of an owner's last changes a reconnecting client can receive. */
export const maxRecentChanges = 1000
/** The same for all users of a tenant together: some 1 MB. */
export const maxRecentOfUsers = 10_000

/** Reads the clock of Redis, in ms since 1970. */
const readClock = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`

/**
 * Defines `publishChange`, which gives a change the next number of its owner's sequence, and of that of all users of its
 * tenant if the owner is one, and publishes it. Numbers are at least the current ms since 1970, so they keep rising if Redis
 * lost the last one. `since` is the start of the known sequence. KEYS and ARGV are those of the scripts below.
 *
 * `body` is what follows the number in the message. `usersChannel` is '' for an owner that is no user.
 */
const definePublishChange = `${defineKeepFor}
local function nextSequence(sequenceKey, recentKey, member, maxRecent, now)
  local last = tonumber(redis.call('HGET', sequenceKey, 'last') or '0')
  local sequence = math.max(last + 1, now)
  if last == 0 then redis.call('HSET', sequenceKey, 'since', string.format('%.0f', sequence - 1)) end
  local text = string.format('%.0f', sequence)
  redis.call('HSET', sequenceKey, 'last', text)
  redis.call('ZADD', recentKey, text, member)
  redis.call('ZREMRANGEBYRANK', recentKey, 0, -maxRecent - 1)
  keepFor(sequenceKey, ARGV[2])
  keepFor(recentKey, ARGV[2])
  return text
end
local function publishChange(body, now, owner, usersChannel)
  local text = nextSequence(KEYS[4], KEYS[5], ARGV[1], ${maxRecentChanges}, now)
  redis.call('PUBLISH', ARGV[3], '{"sequence":' .. text .. body)
  if usersChannel == '' then return end
  text = nextSequence(KEYS[8], KEYS[9], owner .. ' ' .. ARGV[1], ${maxRecentOfUsers}, now)
  redis.call('PUBLISH', usersChannel, '{"sequence":' .. text .. body)
end
`

/**
 * Defines `count`, which changes until when an upload counts as unfinished, for its owner and for its networks, in ms since
 * 1970: '' ends it, `GT` only extends it, and `LT` only shortens it. The keys of the networks follow from the record.
 */
const defineCount = `${defineKeepFor}${defineNamesOf}
local function count(record, ownerSet, setPrefix, id, ownerUntil, networksUntil, compare, now)
  -- A record that another version wrote may be no hash.
  local networks = redis.pcall('HGET', record, 'counted')
  if type(networks) ~= 'string' then return end
  local sets = {ownerSet}
  for _, name in ipairs(namesOf(networks)) do sets[#sets + 1] = setPrefix .. name end
  for i, set in ipairs(sets) do
    local untilMs = i == 1 and ownerUntil or networksUntil
    if untilMs == '' then
      redis.call('ZREM', set, id)
    elseif redis.call('EXISTS', set) == 1 then
      redis.call('ZADD', set, 'XX', compare, untilMs, id)
      keepFor(set, string.format('%.0f', math.max(1, tonumber(untilMs) - now)))
    end
  end
  if networksUntil == '' then redis.call('HDEL', record, 'counted') end
end
`

/**
 * Compare-and-set: saves a record if its revision is still the expected one and the upload was not erased, adds it to its
 * owner's index and publishes the change, in one step. So subscribers receive all changes in their order.
 *
 * A revision is at least the current ms since 1970, as sequence numbers are. So a record that is created again after Redis
 * lost its data, or that is changed on a replica that lacked the last changes, has a greater revision than any before, and
 * subscribers do not take it for an old one.
 *
 * KEYS: record, index, erased, sequence, recent, listed, unfinished, and for a user sequence and recent of all users of its
 * tenant. ARGV: id, least life of the owner's keys in ms, channel,
 * record, expected revision ('' for none), expiry of the record in ms, epoch in which the record was checked ('' to keep the
 * stored one), 1 to publish nothing ('' to publish), networks that count the upload ('-' to keep the stored ones), prefix of
 * their keys, until when it counts for its owner and for them ('' to end it), `GT` or `LT`, owner, channel of all users ('' if it is no user).
 */
export const saveScript = redisScript(`${defineCount}${definePublishChange}${defineTrimIndex}
if redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local revision = redis.call('HGET', KEYS[1], 'revision') or ''
if revision ~= ARGV[5] then return 0 end
${readClock}
local nextRevision = string.format('%.0f', math.max((tonumber(revision) or 0) + 1, now))
redis.call('HSET', KEYS[1], 'revision', nextRevision, 'record', ARGV[4])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'epoch', ARGV[7]) end
if ARGV[9] ~= '${keepNetworks}' then redis.call('HSET', KEYS[1], 'counted', ARGV[9]) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
count(KEYS[1], KEYS[7], ARGV[10], ARGV[1], ARGV[11], ARGV[12], ARGV[13], now)
redis.call('ZADD', KEYS[2], 0, ARGV[1])
keepFor(KEYS[2], ARGV[2])
trimIndex(KEYS[2], KEYS[6], ${defaultMaxIds})
if ARGV[8] ~= '' then return tonumber(nextRevision) end
publishChange(',"revision":' .. nextRevision .. ',"upload":' .. ARGV[4] .. '}', now, ARGV[14], ARGV[15])
return tonumber(nextRevision)
`)

/** Marks a record as checked. KEYS: record. ARGV: expected revision, epoch. */
export const confirmScript = redisScript(`
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
return 1
`)

/**
 * Deletes a record and publishes that the upload no longer exists. KEYS as above. ARGV: id, least life of the owner's last
 * changes in ms, channel, one of the script's own, prefix of the networks' keys, until when the upload counts for its owner
 * and for them ('' to end it), owner, channel of all users ('' if it is no user).
 */
const forget = `${defineCount}${definePublishChange}
${readClock}
count(KEYS[1], KEYS[7], ARGV[5], ARGV[1], ARGV[6], ARGV[7], 'LT', now)
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
publishChange(',"erased":"' .. ARGV[1] .. '","owner":"' .. ARGV[8] .. '"}', now, ARGV[8], ARGV[9])
return 1
`

/** As above, if the record has the expected revision. ARGV[4]: the revision, or '' for any. */
export const forgetScript = redisScript(`
local expected = ARGV[4]
if expected ~= '' and redis.call('HGET', KEYS[1], 'revision') ~= expected then return 0 end
${forget}`)

/** As above, and sets the erasure marker, unless there is one. ARGV[4]: expiry of the marker in ms. */
export const eraseScript = redisScript(`
redis.call('SET', KEYS[3], '${begun}', 'PX', ARGV[4], 'NX')
${forget}`)

/** KEYS: erased. ARGV: expiry of the marker in ms. */
export const verifyScript = redisScript(`
if redis.call('GET', KEYS[1]) == '${confirmed}' then return 0 end
redis.call('SET', KEYS[1], '${verified}', 'PX', ARGV[1])
return 1
`)
