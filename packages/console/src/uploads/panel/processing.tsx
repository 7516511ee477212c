import type { components } from '@millrace/client'
import { Check, Minus, X } from 'lucide-preact'
import { Explained } from '../../design/explained.tsx'
import { durationText, sizeText } from '../../format/format-quantities.ts'
import { stateWords } from '../upload-state.ts'

type Schemas = components['schemas']
type Processing = Schemas['Processing']

/** The states of an upload with their times, and how long each took. */
export function StateHistory({ history }: { history: readonly Schemas['ReachedState'][] }) {
  return (
    <section class="panel-section" aria-labelledby="history-heading">
      <h3 id="history-heading">History</h3>
      <ol class="history">
        {history.map(({ state, at }, index) => {
          const before = history[index - 1]
          const { word, tone, meaning } = stateWords[state]
          return (
            <li key={`${state} ${at}`} class={`is-${tone}`}>
              <span title={meaning}>{state === 'awaiting' ? 'Announced' : word}</span>
              {before && (
                <span class="history-after">
                  after {durationText(Math.max(0, Date.parse(at) - Date.parse(before.at)))}
                </span>
              )}
              <time dateTime={at}>{exactTime(at)}</time>
            </li>
          )
        })}
      </ol>
    </section>
  )
}

/** What the last processing checked, and how long each step took. */
export function ProcessingDetails({ processing }: { processing: Processing }) {
  const { attempt, checks, limits, steps, lastError } = processing
  const longest = Math.max(1, ...steps.map(({ ms }) => ms))
  return (
    <section class="panel-section" aria-labelledby="processing-heading">
      <h3 id="processing-heading">
        <Explained word="Processing">
          What a worker did with the file, from the evidence that it wrote beside it. Wall time; CPU is that
          of the process that decodes the picture.
        </Explained>
      </h3>
      {attempt !== undefined && attempt > 1 && (
        <p class="panel-quiet">Attempt {attempt}: those before failed.</p>
      )}
      {lastError && (
        <p class="panel-quiet">
          Ended with <code>{lastError.code}</code>
          {lastError.cause && ` because of ${lastError.cause}`}. The log has more.
        </p>
      )}
      <table class="steps">
        <caption class="visually-hidden">Steps</caption>
        <tbody>
          {steps.map(({ name, ms, cpuMs, bytes }, index) => (
            // A step can run twice.
            <tr key={`${index} ${name}`}>
              <th scope="row">{stepWords[name] ?? name}</th>
              <td class="step-bar">
                <meter aria-label={`Share of ${name}`} max={longest} value={ms} />
              </td>
              <td>{durationText(ms)}</td>
              <td class="panel-quiet">
                {[cpuMs !== undefined && `CPU ${durationText(cpuMs)}`, bytes !== undefined && sizeText(bytes)]
                  .filter(Boolean)
                  .join(' · ')}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {checks.length > 0 && (
        <ul class="checks">
          {checks.map(({ name, result, detail }) => {
            const Icon = result === 'passed' ? Check : result === 'failed' ? X : Minus
            return (
              <li key={name} class={`is-${result}`}>
                <Icon class="check-icon" aria-hidden="true" />
                <span>
                  {name} <small>{result}</small>
                  {detail && <small class="fact-line">{detail}</small>}
                </span>
              </li>
            )
          })}
        </ul>
      )}
      {Object.keys(limits).length > 0 && (
        <details class="limits">
          <summary>Limits in force</summary>
          <dl class="facts">
            {Object.entries(limits).map(([name, value]) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                </dt>
                <dd>{value.toLocaleString()}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </section>
  )
}

/** What the worker's steps are called for readers. Steps of a newer worker keep their names. */
const stepWords: Record<string, string> = {
  find: 'Find the upload',
  open: 'Open the file in S3',
  admit: 'Wait for memory',
  read: 'Read and hash',
  'scan-wait': 'Wait for the scanner',
  scan: 'Scan for viruses',
  inspect: 'Inspect',
  render: 'Render variants',
  write: 'Write variants',
  settle: 'Write the manifest',
}

function exactTime(at: string): string {
  const time = new Date(at)
  const isToday = time.toDateString() === new Date().toDateString()
  return new Intl.DateTimeFormat(undefined, {
    timeStyle: 'medium',
    ...(!isToday && { dateStyle: 'short' }),
  }).format(time)
}
