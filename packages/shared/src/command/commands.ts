import { type Command, type CommandOption, wholeNumber } from './read-arguments.ts'

/** Options that all these commands have. */
const dryRun = { about: 'change nothing, only print what would be done' }
const json = { about: 'print the result as one JSON object' }
const data = {
  takes: 'DIR',
  about: 'data directory of the running `npm start` (default .millrace)',
}

/** What the help of all these commands says about AWS. */
const elsewhere =
  'With BUCKET in the environment or in .env, the variables of a worker are used instead (.env.example), for example on AWS.'

/** How the help says that Ctrl-C does no harm. */
const ctrlC =
  'Ctrl-C stops it; what it says then tells how to continue.\nExit code 0: all was done. 1: not all. 2: wrong arguments or settings.'

/** `npm run reconcile`. */
export const reconcileCommand = command({
  name: 'reconcile',
  about:
    'Compares the whole bucket with Redis now, corrects what differs, and prints what was found. Workers do so once a day.',
  options: {
    'dry-run': dryRun,
    all: { about: 'also read manifests that an earlier run has verified' },
    continue: { about: 'continue the run that was interrupted last' },
    ids: {
      takes: 'N',
      about: 'name up to N uploads of each kind (default 10)',
      check: wholeNumber(0, 1_000_000),
    },
    json,
    data,
  },
  notes: `${ctrlC}\n${elsewhere}`,
})

/** `npm run reprocess`. */
export const reprocessCommand = command({
  name: 'reprocess',
  about:
    'Processes all uploads again whose preset, or its renderer, has changed since, and prints the counts. Workers do it when no\n' +
    'other job waits. Until then, and if it fails, the uploads are served as they are.',
  options: {
    preset: { takes: 'NAME', about: 'only uploads of this preset' },
    owner: { takes: 'OWNER', about: 'only uploads of this owner' },
    after: { takes: 'POSITION', about: 'continue after this position, which an interrupted run has printed' },
    'dry-run': dryRun,
    json,
    data,
  },
  notes: `${ctrlC}\n${elsewhere}\nThe presets must be those of the workers.`,
})

/** `npm run redrive`. */
export const redriveCommand = command({
  name: 'redrive',
  about:
    'Sends all dead letters to the events queue again: events that no worker could handle, often because of a fault of ours that is\n' +
    'repaired now. Workers try each for about an hour again. A message is sent before it is deleted, so none is lost.',
  options: {
    'dry-run': { about: 'move nothing, only count and list them' },
    list: {
      takes: 'N',
      about: 'with --dry-run: list up to N messages (default 10)',
      check: wholeNumber(0, 1_000),
    },
    limit: { takes: 'N', about: 'move at most N messages', check: wholeNumber(1, 1_000_000_000) },
    json,
    data,
  },
  notes: `${ctrlC}\n${elsewhere}`,
})

/** Gives a command its type, with the names of its options. */
function command<const Options extends Record<string, CommandOption>>(
  definition: Command<Options>,
): Command<Options> {
  return definition
}
