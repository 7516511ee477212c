/** A field of metadata in a form. `key` identifies it while its name is being typed. */
export type Field = { key: number; name: string; value: string }

/** Returns what `PATCH /uploads/{id}` must be sent, so that an upload has these fields: `null` deletes one. */
export function changedMetadata(
  before: Readonly<Record<string, string>>,
  fields: readonly Field[],
): Record<string, string | null> {
  const wanted = new Map(fields.filter(({ name }) => name !== '').map(({ name, value }) => [name, value]))
  const changed: Record<string, string | null> = {}
  for (const name of Object.keys(before)) if (!wanted.has(name)) changed[name] = null
  for (const [name, value] of wanted) if (before[name] !== value) changed[name] = value
  return changed
}
