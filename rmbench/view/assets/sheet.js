"use strict";
(() => {
  const { pictures } = JSON.parse(document.getElementById("data").textContent);
  for (const image of document.querySelectorAll("img[data-picture]")) image.src = pictures[Number(image.dataset.picture)];
})();
