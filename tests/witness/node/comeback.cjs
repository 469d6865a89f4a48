// comeback.cjs URL: the page at `/` while its connection is cut and its server begins anew. Says "live", each event by its name, "lost"
// and "gap". The test beside it does the cutting.

const { run } = require("./browser.cjs");

const [url] = process.argv.slice(2);

run(async (page, say, faults) => {
  await page.goto(url);
  const state = (wanted) => page.locator(`#state[data-state="${wanted}"]`).waitFor();
  const event = async (name) => {
    await page.locator("#events .name", { hasText: name }).waitFor();
    say(name);
  };
  await state("live");
  say("live");
  await event("Before");
  await state("connecting");
  say("lost");
  await event("Meanwhile");
  await page.locator("#events .gap").waitFor();
  say("gap");
  await state("live");
  // A lost connection is an error in the console, and is what this is about.
  faults.length = 0;
});
