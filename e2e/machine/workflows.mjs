// Reads actions and workflows with GitHub's own parser: node workflows.mjs NODE_MODULES FILE…
import {createRequire} from 'node:module';
import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';

const [modules, ...files] = process.argv.slice(2);
// The package imports JSON in a way that Node does not take: bundled first.
const directory = mkdtempSync(join(tmpdir(), 'workflows-'));
const entry = join(directory, 'entry.mjs');
const bundle = join(directory, 'bundle.mjs');
writeFileSync(entry, `export * from ${JSON.stringify(join(modules, '@actions/workflow-parser/dist/index.js'))};
export {parseAction} from ${JSON.stringify(join(modules, '@actions/workflow-parser/dist/actions/action-parser.js'))};`);
execFileSync(join(modules, '.bin/esbuild'), [
  entry, '--bundle', '--platform=node', '--format=esm', `--outfile=${bundle}`, '--log-level=error',
  `--banner:js=import {createRequire} from 'node:module'; const require = createRequire(import.meta.url);`
]);
const parser = await import(bundle);
let failed = false;
for (const name of files) {
  const file = {name, content: readFileSync(name, 'utf8')};
  const parse = basename(name) === 'action.yml' ? parser.parseAction : parser.parseWorkflow;
  const {context} = parse(file, new parser.NoOperationTraceWriter());
  for (const error of context.errors.getErrors()) {
    failed = true;
    console.error(`${name}: ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);
