import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Explained } from '../design/explained.tsx'
import { type ChartDefinition, type ChartPoint, chartColumns } from './charts.ts'
import { type ChartContent, drawChart } from './draw-chart.ts'
import './fleet-chart.css'

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })

/**
 * A chart of the last minutes, with the values below the crosshair, and the same as text and as a table.
 *
 * @param props.toMs the time at its right edge, in ms since 1970
 */
export function FleetChart(props: {
  definition: ChartDefinition
  points: ChartPoint[]
  fromMs: number
  toMs: number
}) {
  const { definition, points, fromMs, toMs } = props
  const { title, explanation, quantity, series, limit } = definition
  const content = useMemo(
    () => ({ columns: chartColumns(points, series, fromMs), fromMs, toMs }),
    [points, series, fromMs, toMs],
  )
  const [hovered, setHovered] = useState<number>()
  const element = useDrawnChart(definition, content, setHovered)
  const [times, ...values] = content.columns
  const summaries = series.map(({ label }, index) => summaryOf(label, values[index] ?? [], quantity.text))
  const hoveredTime = hovered === undefined ? undefined : times[hovered]
  return (
    <figure class="fleet-chart" aria-label={title}>
      <figcaption>
        <h3>
          <Explained word={title}>{explanation}</Explained>
        </h3>
        <span class="fleet-chart-unit">
          {hoveredTime === undefined ? quantity.axis : clock.format(hoveredTime * 1000)}
        </span>
      </figcaption>
      <ul class="fleet-chart-legend">
        {series.map(({ label, color, dash }, index) => (
          <li key={label}>
            <svg viewBox="0 0 18 4" aria-hidden="true" class={`is-series-${color}`}>
              <line x1="0" x2="18" y1="2" y2="2" stroke-dasharray={dash?.join(' ')} />
            </svg>
            {label}
            <strong>{valueText(valueAt(values[index] ?? [], hovered), quantity.text)}</strong>
          </li>
        ))}
        {limit && (
          <li>
            <svg viewBox="0 0 18 4" aria-hidden="true" class="is-limit">
              <line x1="0" x2="18" y1="2" y2="2" />
            </svg>
            {limit.label}
          </li>
        )}
      </ul>
      <div class="fleet-chart-plot" ref={element} aria-hidden="true" />
      <p class="visually-hidden">{summaries.join(' ')}</p>
      <ValueTable definition={definition} times={times} values={values} />
    </figure>
  )
}

/** Draws into the element that it returns, as long as that is shown. */
function useDrawnChart(
  definition: ChartDefinition,
  content: ChartContent,
  onHover: (index: number | undefined) => void,
) {
  const element = useRef<HTMLDivElement>(null)
  const chart = useRef<ReturnType<typeof drawChart>>()
  useEffect(() => {
    if (!element.current) return
    const drawn = drawChart(element.current, { definition, onHover })
    chart.current = drawn
    return () => drawn.remove()
  }, [definition, onHover])
  // Not for each movement of the crosshair.
  useEffect(() => chart.current?.show(content), [content])
  return element
}

/** The values as a table, one row a minute, newest first. Built only while it is open. */
function ValueTable(props: { definition: ChartDefinition; times: number[]; values: (number | null)[][] }) {
  const { definition, times, values } = props
  const { series, quantity, title } = definition
  const [isOpen, setIsOpen] = useState(false)
  return (
    <details class="fleet-chart-values" onToggle={({ currentTarget }) => setIsOpen(currentTarget.open)}>
      <summary>
        Values<span class="visually-hidden"> of {title} as a table</span>
      </summary>
      {isOpen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        <section class="fleet-chart-rows" tabIndex={0} aria-label={`Values of ${title}`}>
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Time</th>
                {series.map(({ label }) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {newestOfEachMinute(times).map((index) => (
                <tr key={index}>
                  <th scope="row">{clock.format((times[index] ?? 0) * 1000)}</th>
                  {values.map((column, position) => (
                    <td key={series[position]?.label}>{valueText(column[index], quantity.text)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </details>
  )
}

/** Returns positions of the times, newest first. */
function newestOfEachMinute(times: number[]): number[] {
  return times
    .map((_, index) => index)
    .filter((index) => {
      const [time = 0, next] = [times[index], times[index + 1]]
      return next === undefined || Math.floor(time / 60) !== Math.floor(next / 60)
    })
    .toReversed()
}

/** @param hovered a position; undefined: the last value */
function valueAt(column: (number | null)[], hovered: number | undefined): number | null | undefined {
  return hovered === undefined ? column.findLast((value) => value !== null) : column[hovered]
}

function valueText(value: number | null | undefined, text: (value: number) => string): string {
  return value === null || value === undefined ? '–' : text(value)
}

/** Says in one sentence what a line shows. */
function summaryOf(label: string, column: (number | null)[], text: (value: number) => string): string {
  const known = column.filter((value) => value !== null)
  const last = known.at(-1)
  if (last === undefined) return `${label}: no values.`
  return `${label}: now ${text(last)}, from ${text(Math.min(...known))} to ${text(Math.max(...known))}.`
}
