import { readFileSync } from 'node:fs'
import { dirname, relative } from 'node:path'

/**
 * Folders whose files run several to a process. Most of their time is spent on loading and compiling the same modules, which
 * further files of a process find loaded and compiled.
 */
const sharingFolders = ['api', 'client', 'console', 'local', 'local-s3', 'shared', 'worker']
/** Folders of few files, whose files share one process with each other. */
const smallFolders = ['mutations', 'repository', 'simulator', 'stacks']
/** Folders all of whose files run in one process: they share a browser and a running system as well, see shared-resources.ts. */
const alwaysSharingFolders = ['browser']
/** Files of one process. With more, the last lanes would wait for a long group. */
const filesPerProcess = 16

/** What a file says that starts several processes, each as busy as the file's own. */
const systemWords = /startSystem|startWithN|startServices|run-chaos|spawnWorker/

/** What a file says that measures the memory of its process, or of those that it starts. */
const memoryWords = /VmHWM|VmRSS|memoryUsage|maxRss|residentBytes|peakBytes/i

/** What a file says that needs a process of its own. Each says what another file of the process would change or notice. */
const needsOwnProcess = [
  // Its own words.
  /^\/\/ A process of its own:/m,
  // Several busy processes: such a file takes two places of the runner's budget, and another file of its process would too.
  systemWords,
  // Threads and decoders, which a file may leave behind, and which end with its process.
  /worker_threads|spawnDecoder/,
  // Such a file runs without huge pages, and others with them.
  memoryWords,
  // Garbage, delays of the event loop and CPU time are those of the whole process.
  /\bheap|node:v8|\bgc\b|collectGarbage|eventLoopUtilization|monitorEventLoopDelay|process\.cpuUsage|resourceUsage|PerformanceObserver/,
  // The environment, signals, the clock. The suite itself looks whether a file puts back the directory and global functions.
  /process\.env(\.\w+|\['\w+'\]) = |delete process\.env|process\.(on|once|emit|kill|exit)\b|fakeClock|fake-clock/,
]

/** Returns whether a test file starts several busy processes. */
export function startsSystems(path: string): boolean {
  return systemWords.test(readFileSync(path, 'utf8'))
}

/** Returns whether a test file measures memory. */
export function measuresMemory(path: string): boolean {
  return memoryWords.test(readFileSync(path, 'utf8'))
}

/**
 * Divides test files into groups that run in one process each.
 *
 * @param root the folder of all tests
 * @param files in the order in which they should begin
 * @returns the groups in the same order: a group begins where its first file would
 */
export function groupByProcess(root: string, files: string[]): string[][] {
  const groups: string[][] = []
  const open = new Map<string, string[]>()
  for (const path of files) {
    const [folder = ''] = relative(root, dirname(path)).split('/')
    const source = readFileSync(path, 'utf8')
    const isAlways = alwaysSharingFolders.includes(folder)
    const isSmall = smallFolders.includes(folder)
    const isSharing = sharingFolders.includes(folder) || isSmall
    const shares = isSharing && !needsOwnProcess.some((words) => words.test(source))
    if (!isAlways && !shares) {
      groups.push([path])
      continue
    }
    const place = isSmall ? 'small' : folder
    const group = open.get(place)
    if (group && (isAlways || group.length < filesPerProcess)) {
      group.push(path)
      continue
    }
    const begun = [path]
    open.set(place, begun)
    groups.push(begun)
  }
  return groups
}
