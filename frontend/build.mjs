// Bundles the pages' scripts and styles with hashed names and writes the manifest that web/assets.py reads.
import { build } from "esbuild";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "src", "postroad", "web", "static", "dist");

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const result = await build({
  entryPoints: ["mail", "compose", "welcome"].map((name) => join(here, "src", `${name}.js`))
    .concat(join(here, "src", "styles", "mail.css")),
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  outdir: out,
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16"],
  minify: true,
  legalComments: "linked",
  metafile: true,
  logLevel: "warning",
});

const manifest = {};
for (const [file, about] of Object.entries(result.metafile.outputs)) {
  if (about.entryPoint) {
    manifest[basename(about.entryPoint)] = {
      file: basename(file),
      imports: about.imports.filter((one) => one.kind === "import-statement").map((one) => basename(one.path)),
    };
  }
}
await writeFile(join(out, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");
