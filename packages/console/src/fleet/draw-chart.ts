import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { type ChartColors, onColorsChange, readChartColors } from './chart-colors.ts'
import type { ChartColumns, ChartDefinition } from './charts.ts'

const height = 176
const font = '11px system-ui, sans-serif'
/** The least distances of labels on the axes, in pixels. */
const labelSpace = { x: 76, y: 34 }
/** All charts of the page have one crosshair. */
const crosshair = 'millrace-fleet'

const wholeSteps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

/** Returns the first multiple of a round step that is not below the highest value: 0.93 → 1, 430 → 500. */
function niceTop(highest: number): number {
  const power = 10 ** Math.floor(Math.log10(highest))
  const step =
    [0.1, 0.2, 0.25, 0.5].map((part) => part * power * 2).find((size) => highest / size <= 5) ?? power
  return Math.ceil(highest / step - 1e-9) * step
}

/** What a chart shows. Times are ms since 1970. */
export type ChartContent = { columns: ChartColumns; fromMs: number; toMs: number }

/**
 * Draws a chart into an element, with axes and a crosshair. It follows the element's width and the page's colors.
 *
 * @param deps.onHover called with the position of the crosshair among the points, or undefined
 */
export function drawChart(
  element: HTMLElement,
  deps: { definition: ChartDefinition; onHover: (index: number | undefined) => void },
) {
  const { definition, onHover } = deps
  const { series, quantity, minTop, limit, isWhole, isStepped, hasArea } = definition
  let colors: ChartColors = readChartColors()
  let range: [number, number] = [0, 1]
  const stepped = uPlot.paths.stepped?.({ align: -1 })

  const plot = new uPlot(
    {
      width: Math.max(1, element.clientWidth),
      height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: crosshair } },
      scales: {
        x: { time: true, range: () => range },
        y: { range: (_, __, highest) => [0, niceTop(Math.max(minTop, highest ?? 0))] },
      },
      axes: [
        {
          stroke: () => colors.ink,
          font,
          space: labelSpace.x,
          size: 28,
          grid: { show: false },
          ticks: { stroke: () => colors.line, size: 4, width: 1 },
          values: (_, times) => times.map((time) => clock.format(time * 1000)),
        },
        {
          stroke: () => colors.ink,
          font,
          space: labelSpace.y,
          size: 54,
          gap: 6,
          grid: { stroke: () => colors.line, width: 1 },
          ticks: { show: false },
          ...(isWhole && { incrs: wholeSteps }),
          values: (_, values) => values.map(quantity.text),
        },
      ],
      series: [
        {},
        ...series.map(({ color, dash }, index) => ({
          ...(hasArea && index === 0 && { fill: () => colors.area }),
          stroke: () => colors.series[color - 1] ?? colors.ink,
          width: 1.75,
          points: { show: false },
          ...(dash && { dash }),
          ...(isStepped && stepped && { paths: stepped }),
        })),
      ],
      hooks: {
        setCursor: [({ cursor }) => onHover(cursor.idx ?? undefined)],
        drawAxes: limit ? [(drawn) => drawLimit(drawn, limit.value)] : [],
      },
    },
    undefined,
    element,
  )

  function drawLimit({ ctx, bbox, valToPos }: uPlot, value: number): void {
    const y = Math.round(valToPos(value, 'y', true))
    ctx.save()
    ctx.strokeStyle = colors.limit
    ctx.lineWidth = devicePixelRatio
    ctx.beginPath()
    ctx.moveTo(bbox.left, y)
    ctx.lineTo(bbox.left + bbox.width, y)
    ctx.stroke()
    ctx.restore()
  }

  const endColors = onColorsChange(() => {
    colors = readChartColors()
    plot.redraw(false, true)
  })
  const observer = new ResizeObserver(() => {
    const width = element.clientWidth
    if (width > 0 && width !== plot.width) plot.setSize({ width, height })
  })
  observer.observe(element)

  return {
    show({ columns, fromMs, toMs }: ChartContent): void {
      range = [fromMs / 1000, toMs / 1000]
      plot.setData(columns)
    },
    remove(): void {
      endColors()
      observer.disconnect()
      plot.destroy()
    },
  }
}
