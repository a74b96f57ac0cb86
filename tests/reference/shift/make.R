# Delta-adjusted multiple imputation of a binary outcome by mice (mnar.logreg): log-odds of the imputed
# outcomes shifted by -1, 0 and 1.5, only the outcome is incomplete, no groups. Simulated data; pooled logistic
# coefficients, their within- and between-imputation variances, the share of ones among the imputed.
# Run in this folder: Rscript make.R; takes half a minute.
suppressMessages({library(mice); library(jsonlite)})
options(warn = -1)
set.seed(8)
n <- 1500
arm <- rep(0:1, n / 2); x <- rnorm(n)
y <- rbinom(n, 1, plogis(-0.4 + 0.7 * x + 0.5 * arm))
y[runif(n) < plogis(-1 + 0.6 * x + 0.4 * arm)] <- NA
d <- data.frame(y = y, x = round(x, 6), arm = arm)
write.csv(d, "outcome.csv", row.names = FALSE, na = "")
writeLines(capture.output(sessionInfo()), "session.txt")
d$y <- factor(d$y)
out <- list()
for (delta in c(-1, 0, 1.5)) {
  imp <- mice(d, method = c("mnar.logreg", "", ""), blots = list(y = list(ums = as.character(delta))),
              m = 100, maxit = 1, seed = 4, printFlag = FALSE)
  fits <- lapply(complete(imp, "all"), function(s) glm(y ~ x + arm, binomial, s))
  Q <- sapply(fits, coef); U <- sapply(fits, function(f) diag(vcov(f)))
  ones <- sapply(imp$imp$y, function(column) mean(column == "1"))
  out[[as.character(delta)]] <- list(m = 100, estimate = rowMeans(Q), within = rowMeans(U), between = apply(Q, 1, var),
                                     ones = mean(ones), ones_between = var(ones))
}
write_json(out, "expected.json", digits = 10, auto_unbox = TRUE, pretty = TRUE)
