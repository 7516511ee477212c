/** Pictures for the screenshot, drawn as SVG. All are 3000 × 2000 pixels. */

const size = 'xmlns="http://www.w3.org/2000/svg" width="3000" height="2000" viewBox="0 0 300 200"'

/** Returns a ridge as a closed path: a sum of sine waves around a height. */
function ridge(height: number, roughness: number, shift: number): string {
  const points = Array.from({ length: 101 }, (_, index) => {
    const x = index * 3
    const y =
      height -
      roughness *
        (Math.sin(x / 31 + shift) + 0.55 * Math.sin(x / 13 + shift * 3) + 0.25 * Math.sin(x / 5 + shift * 7))
    return `${x},${y.toFixed(2)}`
  })
  return `M0,200 L${points.join(' L')} L300,200 Z`
}

/** Mountains in layers at sunset. */
export const mountainsSvg = `<svg ${size}>
  <defs>
    <linearGradient id="sky" x2="0" y2="1">
      <stop offset="0" stop-color="#2b2d66"/><stop offset="0.45" stop-color="#c2587a"/><stop offset="0.75" stop-color="#ffb56b"/>
    </linearGradient>
    <radialGradient id="glow"><stop offset="0" stop-color="#fff3c4"/><stop offset="0.3" stop-color="#ffdf8e" stop-opacity="0.7"/><stop offset="1" stop-color="#ffb56b" stop-opacity="0"/></radialGradient>
  </defs>
  <rect width="300" height="200" fill="url(#sky)"/>
  <circle cx="165" cy="98" r="70" fill="url(#glow)"/><circle cx="165" cy="98" r="17" fill="#fff6d6"/>
  <path d="${ridge(118, 9, 0.4)}" fill="#a2527d"/>
  <path d="${ridge(135, 11, 2.1)}" fill="#6f3f74"/>
  <path d="${ridge(155, 12, 4.4)}" fill="#402a5c"/>
  <path d="${ridge(180, 9, 5.6)}" fill="#1d1638"/>
</svg>`

/** Two sailing boats on calm water. */
export const harbourSvg = `<svg ${size}>
  <defs>
    <linearGradient id="sky" x2="0" y2="1"><stop offset="0" stop-color="#4aa8dc"/><stop offset="1" stop-color="#fdeed2"/></linearGradient>
    <linearGradient id="sea" x2="0" y2="1"><stop offset="0" stop-color="#58b6bd"/><stop offset="1" stop-color="#0c4a63"/></linearGradient>
  </defs>
  <rect width="300" height="200" fill="url(#sky)"/>
  <circle cx="235" cy="42" r="16" fill="#fff8e0"/>
  <path d="${ridge(112, 5, 1.3)}" fill="#7fa9a0"/>
  <rect y="118" width="300" height="82" fill="url(#sea)"/>
  <g stroke="#e9fbf6" stroke-opacity="0.45" stroke-width="1" stroke-linecap="round">
    ${Array.from({ length: 26 }, (_, i) => {
      const y = 124 + i * 2.9
      const x = (i * 83) % 260
      return `<path d="M${x},${y} h${12 + ((i * 17) % 30)}"/>`
    }).join('')}
  </g>
  <path d="M125,30 L125,138 L70,138 Z" fill="#fffaf0"/><path d="M130,48 L130,138 L172,138 Z" fill="#e4572e"/>
  <path d="M66,144 H180 L164,162 H84 Z" fill="#7a3b1d"/>
  <path d="M236,84 L236,134 L212,134 Z" fill="#fff1d6"/><path d="M239,92 L239,134 L258,134 Z" fill="#f2b134"/>
  <path d="M208,137 H262 L254,146 H217 Z" fill="#3c2a20"/>
</svg>`

/** A planet with rings and stars. */
export const planetSvg = `<svg ${size}>
  <defs>
    <radialGradient id="space" cx="0.3" cy="0.2" r="1"><stop offset="0" stop-color="#33306b"/><stop offset="1" stop-color="#090a1d"/></radialGradient>
    <radialGradient id="planet" cx="0.35" cy="0.3" r="0.8"><stop offset="0" stop-color="#ffe3a3"/><stop offset="0.5" stop-color="#ef8354"/><stop offset="1" stop-color="#4f1d4d"/></radialGradient>
  </defs>
  <rect width="300" height="200" fill="url(#space)"/>
  ${Array.from({ length: 140 }, (_, i) => {
    const x = (i * 137.5) % 300
    const y = (i * 71.3) % 200
    return `<circle cx="${x}" cy="${y}" r="${0.3 + (i % 5) * 0.16}" fill="#fff" fill-opacity="${0.4 + (i % 3) * 0.3}"/>`
  }).join('')}
  <circle cx="150" cy="100" r="56" fill="url(#planet)"/>
  <g fill="none" transform="rotate(-18 150 100)">
    <path d="M62,100 a88,22 0 0 0 176,0" stroke="#f7d9a5" stroke-width="7" stroke-opacity="0.9"/>
    <path d="M50,100 a100,28 0 0 0 200,0" stroke="#c98b9b" stroke-width="3" stroke-opacity="0.8"/>
  </g>
</svg>`
