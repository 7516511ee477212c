import type { components } from '@millrace/client'
import { sizeText } from '../../format/format-quantities.ts'

type Day = components['schemas']['UsageOfDay']

const dayMs = 24 * 60 * 60 * 1000
const shownDays = 30
/** In units of the drawing. */
const [barWidth, gap, height] = [8, 3, 60]

/** A bar for each of the last days: the bytes of the files that were announced then and still exist. */
export function UsageDays({ days }: { days: readonly Day[] }) {
  const byDay = new Map(days.map((day) => [day.day, day]))
  const shown = Array.from({ length: shownDays }, (_, index) => {
    const day = new Date(Date.now() - (shownDays - 1 - index) * dayMs).toISOString().slice(0, 10)
    return byDay.get(day) ?? { day, files: 0, bytes: 0 }
  })
  const largest = Math.max(...shown.map(({ bytes }) => bytes))
  if (largest === 0) return null
  const most = shown.find(({ bytes }) => bytes === largest)
  return (
    <figure class="usage-days">
      <svg
        class="day-bars"
        viewBox={`0 0 ${shownDays * (barWidth + gap) - gap} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Bytes by day. Most on ${most?.day}: ${sizeText(largest)}`}
      >
        {shown.map(({ day, files, bytes }, index) => {
          const barHeight = bytes === 0 ? 1 : Math.max(2, (bytes / largest) * height)
          return (
            <rect
              key={day}
              class={bytes === 0 ? 'is-empty' : ''}
              x={index * (barWidth + gap)}
              y={height - barHeight}
              width={barWidth}
              height={barHeight}
            >
              <title>{`${day}: ${sizeText(bytes)} in ${files} files`}</title>
            </rect>
          )
        })}
      </svg>
      <figcaption>
        <span>{shown[0]?.day}</span>
        <span>Stored by day of upload, {sizeText(largest)} at most</span>
        <span>today</span>
      </figcaption>
    </figure>
  )
}
