// Puts the page together in src/adtally/serve/static/, where the API process serves it: `index.html` at `/`, the rest
// below `/assets/`. No bundler: the browser loads ES modules, and only the imports by package name are rewritten.
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const WEB = dirname(fileURLToPath(import.meta.url));
const SOURCE = join(WEB, "src");
const MODULES = join(WEB, "node_modules");
const TARGET = join(WEB, "..", "src", "adtally", "serve", "static");
const COMPRESSED_BYTES_MAX = 100 * 1024;

// uPlot's ES module is not minified (42 KB compressed against 22): its script build becomes a module by one more line.
const VENDOR = [
  { name: "preact", package: "preact", file: "dist/preact.mjs" },
  { name: "preact/hooks", package: "preact", file: "hooks/dist/hooks.mjs" },
  { name: "htm", package: "htm", file: "dist/htm.module.js" },
  { name: "uplot", package: "uplot", file: "dist/uPlot.iife.min.js", append: "\nexport default uPlot;\n" },
];

/** Where a package's module lies below the target. */
const vendorPath = (/** @type {string} */ name) => `vendor/${name.replace("/", "-")}.js`;

/** Replaces `from "preact"` and the like by relative paths: an import map would need an inline script. */
function rewriteImports(/** @type {string} */ code, /** @type {string} */ path) {
  return code.replace(/(?<!")\b(from|import)\s*"([^"./][^"]*)"/g, (_, keyword, name) => {
    if (!VENDOR.some((vendor) => vendor.name === name)) throw new Error(`${path}: nobody provides "${name}"`);
    const target = relative(dirname(path), vendorPath(name));
    return `${keyword} "${target.startsWith(".") ? target : `./${target}`}"`;
  });
}

async function copyVendor(/** @type {string} */ stage) {
  await mkdir(join(stage, "vendor"));
  for (const vendor of VENDOR) {
    const code = await readFile(join(MODULES, vendor.package, vendor.file), "utf8");
    const path = vendorPath(vendor.name);
    const plain = code.replace(/\n\/\/# sourceMappingURL=.*\n?/, "\n") + (vendor.append ?? "");
    await writeFile(join(stage, path), rewriteImports(plain, path));
  }
  await cp(join(MODULES, "uplot/dist/uPlot.min.css"), join(stage, "vendor/uplot.css"));
  for (const name of new Set(VENDOR.map((vendor) => vendor.package))) {
    await cp(join(MODULES, name, "LICENSE"), join(stage, `vendor/${name}-LICENSE.txt`));
  }
}

async function copySources(/** @type {string} */ stage) {
  for (const entry of await readdir(SOURCE)) {
    if (entry.endsWith(".d.ts")) continue;
    if (!entry.endsWith(".js")) await cp(join(SOURCE, entry), join(stage, entry));
    else await writeFile(join(stage, entry), rewriteImports(await readFile(join(SOURCE, entry), "utf8"), entry));
  }
}

/** Names every module in the page's head, so that the browser asks for all at once and not import by import. */
async function preloadModules(/** @type {string} */ stage) {
  const modules = (await readdir(stage, { recursive: true })).filter((path) => path.endsWith(".js")).sort();
  const links = modules.map((path) => `<link rel="modulepreload" href="/assets/${path}">`).join("\n    ");
  const page = join(stage, "index.html");
  await writeFile(page, (await readFile(page, "utf8")).replace("<!-- modulepreload -->", links));
}

async function report(/** @type {string} */ stage) {
  let plain = 0;
  let compressed = 0;
  for (const path of await readdir(stage, { recursive: true })) {
    if (!/\.(html|js|css|svg)$/.test(path)) continue;
    const bytes = await readFile(join(stage, path));
    plain += bytes.length;
    compressed += gzipSync(bytes, { level: 9 }).length;
  }
  const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(1)} KB`;
  console.log(`page: ${kilobytes(plain)}, compressed ${kilobytes(compressed)} of ${kilobytes(COMPRESSED_BYTES_MAX)}`);
  if (compressed > COMPRESSED_BYTES_MAX) throw new Error("the page has grown over its limit");
}

// Built beside the target and then renamed, so that a server never sees half a page.
const stage = `${TARGET}.new`;
await rm(stage, { recursive: true, force: true });
await mkdir(stage, { recursive: true });
await copyVendor(stage);
await copySources(stage);
await preloadModules(stage);
await report(stage);
await rm(TARGET, { recursive: true, force: true });
await rename(stage, TARGET);
