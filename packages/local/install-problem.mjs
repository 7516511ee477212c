/** What npm prints if the registry, or a proxy in front of it, cannot be reached: codes of Node and of npm. */
const unreachable =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ECONNABORTED|ETIMEDOUT|ESOCKETTIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|ERR_SOCKET_TIMEOUT|EIDLETIMEOUT)\b/
/** TLS: a proxy that signs itself, or a clock that is wrong. */
const untrusted =
  /\b(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|CERT_HAS_EXPIRED|CERT_NOT_YET_VALID|ERR_TLS_CERT_ALTNAME_INVALID)\b/

/**
 * Says in one sentence why `npm ci` failed and what to do.
 *
 * @param {string} output what npm printed
 * @param {string} registry the address of the registry that npm uses
 * @returns {string} ends with the path of npm's own log if npm has named it
 */
export function installProblem(output, registry) {
  const [, log] = /complete log of this run can be found in: *(\S.*)/.exec(output) ?? []
  const [, logFolder] =
    /Log files were not written due to an error writing to the directory: *(\S+)/.exec(output) ?? []
  return `The Node packages could not be installed: ${reasonOf(output, registry)}.${logSentence(log, logFolder)}`
}

function reasonOf(output, registry) {
  const [, network] = unreachable.exec(output) ?? []
  const [, certificate] = untrusted.exec(output) ?? []
  const [, code] = /^npm (?:error|ERR!) code (\S+)/m.exec(output) ?? []
  if (/\b(ENOSPC|EDQUOT)\b/.test(output))
    return 'the disk is full, so free some space and run this command again'
  if (certificate) {
    return `the certificate of the npm registry ${registry} is not trusted (${certificate}): behind a proxy, set \`npm config set cafile FILE\`; otherwise check the clock`
  }
  if (network) {
    return `the npm registry ${registry} cannot be reached (${network}): check the network, or name a registry or a proxy that this machine reaches with \`npm config set registry URL\` or \`npm config set proxy URL\``
  }
  if (code === 'E401' || code === 'E403') {
    return `the npm registry ${registry} refuses access (${code}): run \`npm login\`, or choose another one with \`npm config set registry URL\``
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return `this user may not write node_modules or npm's cache (${code}): make both belong to this user`
  }
  return `\`npm ci\` says: ${lastSentence(output)}`
}

/** Returns npm's first sentence that is not a code, a path or a stack. */
function lastSentence(output) {
  const sentences = output
    .split('\n')
    .map((line) => /^npm (?:error|ERR!) (?!code |errno |syscall |path |dest |at )(\S.*)/.exec(line)?.[1])
    .filter((sentence) => sentence !== undefined)
  const [first = output.trim().split('\n').at(-1) || 'nothing'] = sentences
  return first.trim().replace(/[.:]$/, '')
}

function logSentence(log, logFolder) {
  if (log) return ` npm's log: ${log.trim()}`
  return logFolder ? ` npm could not write a log to ${logFolder}` : ''
}
