const size = { width: 960, height: 640 }
const quality = 0.85

/** Draws a picture of hills at another time of day for each number. @returns a JPEG of some 40 kB */
export async function drawSamplePicture(number: number): Promise<Blob> {
  const canvas = document.createElement('canvas')
  canvas.width = size.width
  canvas.height = size.height
  const context = canvas.getContext('2d')
  if (!context) throw new Error('The browser cannot draw the sample pictures.')
  const hue = (number * 47) % 360
  const sky = context.createLinearGradient(0, 0, 0, size.height)
  sky.addColorStop(0, `hsl(${hue} 55% 32%)`)
  sky.addColorStop(1, `hsl(${(hue + 40) % 360} 80% 82%)`)
  context.fillStyle = sky
  context.fillRect(0, 0, size.width, size.height)
  context.fillStyle = `hsl(${(hue + 50) % 360} 95% 90%)`
  context.beginPath()
  context.arc(size.width * (0.2 + (number % 7) * 0.1), size.height * 0.38, 56, 0, Math.PI * 2)
  context.fill()
  for (const layer of [0, 1, 2, 3]) {
    context.fillStyle = `hsl(${hue} 38% ${46 - layer * 11}%)`
    context.beginPath()
    context.moveTo(0, size.height)
    for (let x = 0; x <= size.width; x += 8) {
      const wave =
        Math.sin(x / (150 - layer * 22) + number + layer * 2) + Math.sin(x / 47 + number * layer) / 3
      context.lineTo(x, size.height * (0.55 + layer * 0.12) - wave * 34)
    }
    context.lineTo(size.width, size.height)
    context.fill()
  }
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', quality))
  if (!blob) throw new Error('The browser cannot write the sample pictures as JPEG.')
  return blob
}
