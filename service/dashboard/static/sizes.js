// Sizes of files as people read them.

/** 10485760 -> "10.5 MB": powers of ten, as disks and downloads are told. */
export function bytes(size) {
  for (const [factor, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (size >= 0.9995 * factor) return `${Number((size / factor).toPrecision(3))} ${unit}`;
  }
  return `${size} B`;
}
