/**
 * Lua: defines `keepFor`, which makes a key live for at least this long, in ms. A key that lives longer already stays as it
 * is; a key that was just created has no expiry and gets one.
 */
export const defineKeepFor = `
local function keepFor(key, lifeMs)
  if redis.call('PTTL', key) < tonumber(lifeMs) then redis.call('PEXPIRE', key, lifeMs) end
end
`
