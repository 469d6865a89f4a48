// A headless Chromium for one test: `drive(async (page, say) => …)` opens it, prints what `say` is given as one JSON line each, and
// fails the process when the test throws, or when the page itself reports an error.

const { chromium } = require("playwright-core");

const PATIENCE = 20_000;

async function drive(test) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  const faults = [];
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
    page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`));
    page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
    await test(page, (line) => console.log(JSON.stringify(line)), faults);
  } finally {
    await browser.close();
  }
  if (faults.length) throw new Error(faults.join("\n"));
}

module.exports = {
  PATIENCE,
  run: (test) => drive(test).catch((error) => {
    console.error(error);
    process.exitCode = 1;
  }),
};
