import { humanize } from '../lib/names';

/** Values above zero, each with its name and a bar, the largest first. */
export function Bars({
  values,
  format,
  label,
  colour,
}: {
  values: Record<string, number>;
  format: (value: number) => string;
  label: string;
  colour: string;
}) {
  const rows = Object.entries(values)
    .filter(([, value]) => value > 0)
    .sort((a, b) => b[1] - a[1]);
  const most = Math.max(1e-9, ...rows.map(([, value]) => value));
  return (
    <ul aria-label={label} className="mt-3 flex flex-col gap-2 text-sm">
      {rows.map(([name, value]) => (
        <li key={name} className="grid grid-cols-[minmax(0,13rem)_minmax(3rem,1fr)_3.5rem] items-center gap-3">
          <span className="truncate text-muted">{humanize(name)}</span>
          <span aria-hidden className="h-2 overflow-hidden rounded-full bg-sunken">
            <span
              className={`block h-full rounded-full ${colour}`}
              style={{ width: `${String((100 * value) / most)}%` }}
            />
          </span>
          <span className="text-right font-medium">{format(value)}</span>
        </li>
      ))}
    </ul>
  );
}
