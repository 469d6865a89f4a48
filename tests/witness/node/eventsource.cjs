// eventsource.cjs URL: an `EventSource` in Chromium that loses its connection. Says "open", hears events named `News`, and comes back
// with `Last-Event-ID` by itself. The test beside it cuts the connection.

const { run, PATIENCE } = require("./browser.cjs");

const [url] = process.argv.slice(2);

run(async (page, say, faults) => {
  // A document of this origin without a script of its own: the stream is opened by the test.
  await page.goto(`${url}/page.svg`);
  await page.exposeFunction("say", say);
  const done = page.evaluate((patience) => new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("no end in time")), patience);
    const source = new EventSource("/subscribe?pattern=*");
    source.onopen = () => window.say({ open: true });
    source.onerror = () => window.say({ lost: source.readyState });
    source.addEventListener("gap", (event) => window.say({ gap: JSON.parse(event.data) }));
    source.addEventListener("News", (event) => {
      const { payload } = JSON.parse(event.data);
      window.say({ id: event.lastEventId, payload });
      if (payload.last) {
        source.close();
        resolve();
      }
    });
  }), PATIENCE);
  await done;
  // A lost connection is an error in the console, and is what this is about.
  faults.length = 0;
});
