import { Flame, Images, Square, Trash2 } from 'lucide-preact'
import { useEffect, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import '../design/field.css'
import type { LoadMaker } from './load-maker.ts'
import type { SampleUploads } from './sample-uploads.ts'
import './scaling-trial.css'

/** Browsers open six connections to an origin; the page needs some for itself. */
const requestsAtOnce = [1, 2, 3, 4]
const durations = [
  { seconds: 30, label: '30 seconds' },
  { seconds: 120, label: '2 minutes' },
  { seconds: 300, label: '5 minutes' },
]
const pictureCounts = [20, 100, 300]

/** Makes load and sample uploads, so that one can watch the fleet scale. */
export function ScalingTrial(props: {
  loadMaker: LoadMaker
  sampleUploads: SampleUploads
  mayUpload: boolean
}) {
  const { loadMaker, sampleUploads, mayUpload } = props
  // Nobody would see the load of a page that was left.
  useEffect(() => loadMaker.stop, [loadMaker])
  return (
    <details class="scaling-trial">
      <summary>Try the scaling</summary>
      <div class="scaling-trial-parts">
        <LoadPart loadMaker={loadMaker} />
        <SamplePart sampleUploads={sampleUploads} mayUpload={mayUpload} />
      </div>
    </details>
  )
}

function LoadPart({ loadMaker }: { loadMaker: LoadMaker }) {
  const [atOnce, setAtOnce] = useState(2)
  const [seconds, setSeconds] = useState(30)
  const isRunning = loadMaker.isRunning.value
  const state = loadMaker.state.value
  return (
    <section aria-labelledby="load-heading">
      <h2 id="load-heading">Load on the API</h2>
      <p>Requests that each keep one core of an API instance busy. Watch CPU, requests and response time.</p>
      <div class="scaling-trial-fields">
        <label class="field">
          <span>Requests at once</span>
          <select
            class="input"
            value={atOnce}
            onChange={(event) => setAtOnce(Number(event.currentTarget.value))}
          >
            {requestsAtOnce.map((count) => (
              <option key={count} value={count}>
                {count}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>For</span>
          <select
            class="input"
            value={seconds}
            onChange={(event) => setSeconds(Number(event.currentTarget.value))}
          >
            {durations.map(({ seconds, label }) => (
              <option key={seconds} value={seconds}>
                {label}
              </option>
            ))}
          </select>
        </label>
        {isRunning ? (
          <Button label="Stop the load" icon={Square} onClick={loadMaker.stop} />
        ) : (
          <Button label="Make load" icon={Flame} onClick={() => void loadMaker.start({ atOnce, seconds })} />
        )}
      </div>
      <p role="status" class={state?.problem ? 'problem' : ''}>
        {state?.problem}
        {state && !state.problem && `${isRunning ? 'Running' : 'Over'}: ${state.done} requests answered`}
        {state &&
          !state.problem &&
          state.refused > 0 &&
          `, ${state.refused} refused because all cores were busy`}
        {state && !state.problem && '.'}
      </p>
    </section>
  )
}

function SamplePart({ sampleUploads, mayUpload }: { sampleUploads: SampleUploads; mayUpload: boolean }) {
  const [count, setCount] = useState(20)
  const state = sampleUploads.state.value
  const isRunning = state?.isRunning ?? false
  return (
    <section aria-labelledby="samples-heading">
      <h2 id="samples-heading">A burst of sample uploads</h2>
      <p>Small pictures, drawn by this page and sent as your uploads. Watch queue, workers and throughput.</p>
      <div class="scaling-trial-fields">
        <label class="field">
          <span>Pictures</span>
          <select
            class="input"
            value={count}
            onChange={(event) => setCount(Number(event.currentTarget.value))}
          >
            {pictureCounts.map((count) => (
              <option key={count} value={count}>
                {count}
              </option>
            ))}
          </select>
        </label>
        {isRunning ? (
          <Button label="Stop" icon={Square} onClick={sampleUploads.stop} />
        ) : (
          <>
            <Button
              label="Send sample uploads"
              icon={Images}
              disabled={!mayUpload}
              onClick={() => void sampleUploads.send(count)}
            />
            <Button
              label="Remove the sample uploads"
              icon={Trash2}
              look="danger"
              disabled={!mayUpload}
              onClick={() => void sampleUploads.remove()}
            />
          </>
        )}
      </div>
      <p role="status" class={state?.problem ? 'problem' : ''}>
        {!mayUpload && 'Your API key may not upload: it needs the scope uploads:write.'}
        {state?.problem ?? (state && sampleText(state))}
      </p>
    </section>
  )
}

function sampleText({ work, isRunning, done, total }: NonNullable<SampleUploads['state']['value']>): string {
  if (work === 'sending') return `${isRunning ? 'Sending: ' : 'Sent '}${done} of ${total} sample uploads.`
  return `${isRunning ? 'Removing: ' : 'Removed '}${done} sample uploads.`
}
