// Decides policy/request pairs with npm's @cloud-copilot/iam-simulate (AGPL-3.0: a development tool
// in a process of its own, never linked or shipped). One simulation a line in, one word a line out.
//
//   npm install @cloud-copilot/iam-simulate@0.1.173       in any folder
//   SMRT_IAM_SIMULATE=that folder  cargo test --release --test it -- iam::oracle
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const folder = process.argv[2];
const require = createRequire(join(folder, 'index.js'));
const found = require.resolve('@cloud-copilot/iam-simulate');
const { runSimulation } = await import(pathToFileURL(found).href);

for await (const line of createInterface({ input: process.stdin })) {
    const simulation = JSON.parse(line);
    try {
        const result = await runSimulation(simulation, {});
        if (result.resultType === 'error') {
            console.log('error ' + JSON.stringify(result.errors));
        } else {
            console.log(result.overallResult ?? result.result.analysis.result);
        }
    } catch (error) {
        console.log('error ' + error.message);
    }
}
