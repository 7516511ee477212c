/** The logo: a mill wheel above the water. */
export function Wheel() {
  return (
    <svg class="wheel" viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="13.5" r="7" />
      <path d="M16 2v23M4.5 13.5h23M7.9 5.4l16.2 16.2M24.1 5.4 7.9 21.6" />
      <path d="M2 29c2.3 0 2.3-1.8 4.7-1.8s2.3 1.8 4.6 1.8 2.4-1.8 4.7-1.8 2.3 1.8 4.7 1.8 2.3-1.8 4.6-1.8 2.4 1.8 4.7 1.8" />
    </svg>
  )
}
