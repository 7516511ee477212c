/** Does the work for all items, for so many at a time. @throws the first error; then no further item is begun */
export async function inParallel<Item>(
  atOnce: number,
  items: Iterable<Item>,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = Iterator.from(items)
  const workNext = async () => {
    for (const item of waiting) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, workNext))
}
