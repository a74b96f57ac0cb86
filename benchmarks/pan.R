# The joint model by pan: data file, imputations, burn-in, iterations between. Prints JSON.
given <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(pan))
data <- as.matrix(read.csv(given[1]))
m <- as.integer(given[2]); burn <- as.integer(given[3]); between <- as.integer(given[4])
Y <- data[, c("y1", "y2", "y3")]
prior <- list(a = 3, Binv = diag(3), c = 3, Dinv = diag(3))
draw <- function(iter, seed, ...) pan(Y, data[, "g"], cbind(1, data[, "x"]), 1:2, 1, prior, seed = seed, iter = iter, ...)
took <- system.time({
  last <- draw(burn, 1)
  mean_Sigma <- apply(last$sigma[, , (burn / 2):burn], 1:2, mean)
  for (k in 2:m) last <- draw(between, k, start = last$last)
})[[3]]
cat(sprintf('\n{"time": %f, "Sigma": [%s]}\n', took, paste(round(mean_Sigma, 4), collapse = ", ")))
